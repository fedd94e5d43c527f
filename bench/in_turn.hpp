// SPDX-License-Identifier: Apache-2.0
//
// Two ways of the same work, measured in turn. The machine's speed changes while it runs, so each row does both, some
// hundred times: `floor` is what the bare calls take, `Time` what the library takes for the same work, `ratio` the median
// of the quotients of neighbours. Processor time, since a neighbour on the machine is no cost of ours.
#pragma once

#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <vector>

namespace ipcns::bench {

inline double processor_time() {
    struct timespec time {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class Work>
double seconds_for(int times, Work& work) {
    const double start = processor_time();
    for (int i = 0; i < times; ++i) work();
    return (processor_time() - start) / times;
}

// @p times of one and then of the other; who is first changes. For rows with UseManualTime().
template <class Floor, class Ours>
void in_turn(benchmark::State& state, int times, Floor floor, Ours ours) {
    std::vector<double> ratios;
    double floor_time = 0;
    bool floor_first = true;
    for (auto _ : state) {
        double floor_once = 0;
        double ours_once = 0;
        if (floor_first) floor_once = seconds_for(times, floor);
        ours_once = seconds_for(times, ours);
        if (!floor_first) floor_once = seconds_for(times, floor);
        floor_first = !floor_first;
        state.SetIterationTime(ours_once);
        floor_time += floor_once;
        ratios.push_back(ours_once / floor_once);
    }
    std::ranges::sort(ratios);
    state.counters["floor"] = floor_time / static_cast<double>(ratios.size());
    state.counters["ratio"] = ratios[ratios.size() / 2];
}

} // namespace ipcns::bench
