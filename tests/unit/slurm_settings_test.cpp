// SPDX-License-Identifier: Apache-2.0
// What a line of plugstack.conf means to the plugin for Slurm, and what it calls the namespaces of a job.
#include "support.hpp"

#include "slurm/settings.hpp"

#include <ipcns/error.hpp>
#include <ipcns/target.hpp>

#include <limits>
#include <string>
#include <vector>

namespace ipcns::slurm {
namespace {

Settings parse(std::vector<std::string> words) {
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    return Settings::parse(pointers);
}

// What is wrong with a word, and the hint.
std::string refusal(const std::string& word) {
    try {
        (void)parse({word});
    } catch (const UsageError& error) {
        return std::string(error.what()) + "; " + error.hint();
    }
    return "taken";
}

TEST(SlurmSettings, WithoutAWord) {
    const Settings settings = parse({});
    EXPECT_EQ(settings.standard, Scope::job);
    EXPECT_EQ(settings.allowed_words(), "job, step or task");
    EXPECT_THROW(settings.check_allowed(Scope::host), UsageError);
    EXPECT_NO_THROW(settings.check_allowed(Scope::task));
    EXPECT_EQ(settings.shm_size(), std::nullopt);
    EXPECT_TRUE(settings.limits.empty());
    EXPECT_TRUE(settings.must);
    EXPECT_TRUE(settings.owner_enters);
}

TEST(SlurmSettings, EveryWord) {
    const Settings settings = parse({"default=step", "allow=host,job", "shm_size=8G", "limit=shmmni=8192",
                                     "limit=sem=10,20,30,40", "on_error=run", "access=root"});
    EXPECT_EQ(settings.standard, Scope::step);
    // What nobody has to ask for may be asked for.
    EXPECT_EQ(settings.allowed_words(), "job, step or host");
    EXPECT_NO_THROW(settings.check_allowed(Scope::step));
    EXPECT_THROW(settings.check_allowed(Scope::task), UsageError);
    EXPECT_EQ(settings.shm_size(), std::uint64_t{8} << 30);
    ASSERT_EQ(settings.limits.size(), 2U);
    EXPECT_STREQ(settings.limits[0].key->name, "shmmni");
    EXPECT_EQ(settings.limits[0].value, "8192");
    EXPECT_EQ(settings.limits[1].value, "10 20 30 40");
    EXPECT_FALSE(settings.must);
    EXPECT_FALSE(settings.owner_enters);
}

TEST(SlurmSettings, PercentOfTheMemory) {
    const std::string text = ipcns::test::read_file("/proc/meminfo");
    const auto total = std::stoull(text.substr(text.find("MemTotal:") + 9)) * 1024;
    const auto half = parse({"shm_size=50%"}).shm_size().value_or(0);
    EXPECT_NEAR(static_cast<double>(half), static_cast<double>(total) / 2, static_cast<double>(total) / 50);
    EXPECT_NEAR(static_cast<double>(parse({"shm_size=1%"}).shm_size().value_or(0)),
                static_cast<double>(total) / 100, static_cast<double>(total) / 500);
    // The last one counts.
    EXPECT_EQ(parse({"shm_size=50%", "shm_size=1M"}).shm_size(), std::uint64_t{1} << 20);
}

TEST(SlurmSettings, WhatIsWrong) {
    EXPECT_EQ(refusal("defaults=job"), "'defaults' is no setting; did you mean default?");
    EXPECT_EQ(refusal("colour=red"),
              "'colour' is no setting; there are default, allow, shm_size, limit, on_error and access");
    EXPECT_EQ(refusal("default=all"), "'all' says nothing about IPC; it is job, step, task or host");
    EXPECT_EQ(refusal("on_error=ignore"), "on_error=ignore means nothing; on_error is fail or run");
    EXPECT_EQ(refusal("access=all"), "access=all means nothing; access is owner or root");
    for (const std::string word :
         {"default", "default=", "=job", "", "allow=,job", "allow=job,all", "shm_size=0%", "shm_size=101%",
          "shm_size=%", "shm_size=-1%", "shm_size=5O%", "shm_size=much", "limit=shmmni", "limit=shmmnx=1",
          "limit=8192", "default=job\n"}) {
        SCOPED_TRACE(word);
        EXPECT_NE(refusal(word), "taken");
    }
}

TEST(SlurmSettings, NamesOfAJob) {
    const JobNames plain(42, "n1", "n1.example.org");
    EXPECT_EQ(plain.job(), "slurm:42");
    EXPECT_EQ(plain.step(0), "slurm:42.0");
    EXPECT_EQ(plain.step(batch_step), "slurm:42.batch");
    EXPECT_EQ(plain.step(extern_step), "slurm:42.extern");
    EXPECT_EQ(plain.step(interactive_step), "slurm:42.interactive");
    EXPECT_EQ(plain.task(3, 17), "slurm:42.3.17");
    EXPECT_EQ(JobNames(42, "", "n1").job(), "slurm:42");
    EXPECT_EQ(JobNames(42, "n1.example.org", "n1.example.org").job(), "slurm:42");
    const JobNames other(42, "n2", "n1");
    EXPECT_EQ(other.job(), "slurm:42@n2");
    EXPECT_EQ(other.task(batch_step, 0), "slurm:42.batch.0@n2");
    for (const JobNames& names : {plain, other}) {
        for (const std::string& name :
             {names.job(), names.step(7), names.step(batch_step), names.task(7, 8)}) {
            EXPECT_TRUE(is_job_name(name)) << name;
            EXPECT_TRUE(names.contain(name)) << name;
        }
    }
    EXPECT_FALSE(plain.contain("slurm:42@n2"));
    EXPECT_FALSE(plain.contain("slurm:42.0@n2"));
    EXPECT_FALSE(other.contain("slurm:42"));
    EXPECT_FALSE(other.contain("slurm:42.0@n22"));
    EXPECT_FALSE(plain.contain("slurm:421"));
    EXPECT_FALSE(plain.contain("slurm:4"));
    EXPECT_FALSE(plain.contain("slurm:421.0"));
    EXPECT_FALSE(JobNames(4, "n2", "n1").contain("slurm:42@n2"));
    EXPECT_EQ(JobNames(std::numeric_limits<std::uint32_t>::max(), "", "").job(), "slurm:4294967295");
}

} // namespace
} // namespace ipcns::slurm
