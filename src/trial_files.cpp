// SPDX-License-Identifier: Apache-2.0
// What needs a path that both sides see: files, FIFOs, UNIX sockets, mapped memory and futexes in it, inotify. Each is
// offered in every folder of trial_folders that can be written.
#include "trial.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <dirent.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace ipcns::agent {
namespace {

// A folder, opened, with the name of what is offered in it.
struct Spot {
    std::size_t index;
    int folder;
    const char* name;
};

class FolderTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const ::mode_t old = ::umask(0);
        Reply reply = done();
        reply.where = request.where;
        reply.where.folders = 0;
        int number = ENOENT;
        const std::string name = object_name(request.where);
        for (std::size_t i = 0; i < trial_folder_count; ++i) {
            const Fd folder(::open(trial_folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (folder && make({i, folder.get(), name.c_str()}, request))
                reply.where.folders |= 1U << i;
            else
                number = errno;
        }
        ::umask(old);
        if (reply.where.folders != 0) return reply;
        clean(request.where);
        return unavailable("write to any of /tmp, /var/tmp and /dev/shm", number);
    }

    Reply attempt(const Request& request, int /*passed*/) override {
        Ways ways;
        const std::string name = object_name(request.where);
        for (std::size_t i = 0; i < trial_folder_count; ++i) {
            if ((request.where.folders & (1U << i)) == 0) continue;
            const std::string words = std::string("in ") + trial_folders[i];
            const Fd folder(::open(trial_folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC));
            unsigned char token[token_bytes] = {};
            if (folder && get({i, folder.get(), name.c_str()}, request, token))
                ways.got(static_cast<Route>(by_folder << i), words.c_str(), token);
            else
                ways.refused(words.c_str());
        }
        return ways.reply();
    }

    void clean(const Locator& where) override {
        const std::string name = object_name(where);
        for (std::size_t i = 0; i < trial_folder_count; ++i) {
            const Fd folder(::open(trial_folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (folder) remove({i, folder.get(), name.c_str()});
        }
    }

protected:
    // Makes it; false with errno, and then nothing is left.
    virtual bool make(const Spot& spot, const Request& request) = 0;
    // Gets it; false with errno.
    virtual bool get(const Spot& spot, const Request& request, unsigned char* token) = 0;
    virtual void remove(const Spot& spot) { ::unlinkat(spot.folder, spot.name, 0); }
};

bool read_token(int fd, unsigned char* token) {
    const ssize_t length = ::read(fd, token, token_bytes);
    if (length == static_cast<ssize_t>(token_bytes)) return true;
    if (length >= 0) errno = ENODATA;
    return false;
}

// A new file with the token in it.
Fd make_file(const Spot& spot, const Request& request, std::size_t bytes) {
    Fd file(::openat(spot.folder, spot.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     request.where.mode));
    if (!file) return file;
    if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0 ||
        ::pwrite(file.get(), request.token, token_bytes, 0) != static_cast<ssize_t>(token_bytes)) {
        const int number = errno;
        ::unlinkat(spot.folder, spot.name, 0);
        errno = number;
        file.reset();
    }
    return file;
}

class FileTrial : public FolderTrial {
    bool make(const Spot& spot, const Request& request) override {
        return static_cast<bool>(make_file(spot, request, token_bytes));
    }
    bool get(const Spot& spot, const Request& /*request*/, unsigned char* token) override {
        const Fd file(::openat(spot.folder, spot.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        return file && read_token(file.get(), token);
    }
};

class FifoTrial : public FolderTrial {
    bool make(const Spot& spot, const Request& request) override {
        if (::mkfifoat(spot.folder, spot.name, request.where.mode) != 0) return false;
        Fd end(::openat(spot.folder, spot.name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        // One for each that tries, and one more.
        for (int copies = 0; end && copies < 3; ++copies) {
            if (::write(end.get(), request.token, token_bytes) < 0) end.reset();
        }
        if (!end) {
            const int number = errno;
            ::unlinkat(spot.folder, spot.name, 0);
            errno = number;
            return false;
        }
        ends_[spot.index] = std::move(end);
        return true;
    }
    bool get(const Spot& spot, const Request& /*request*/, unsigned char* token) override {
        const Fd end(::openat(spot.folder, spot.name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        return end && read_token(end.get(), token);
    }
    std::array<Fd, trial_folder_count> ends_;
};

class SocketTrial : public FolderTrial {
public:
    [[nodiscard]] std::vector<int> served() const override {
        std::vector<int> numbers;
        for (const Fd& socket : sockets_)
            numbers.push_back(socket.get()); // poll(2) passes by those that are -1
        return numbers;
    }
    void serve() override {
        for (const Fd& socket : sockets_) {
            const Fd caller(socket ? ::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC) : -1);
            if (caller) (void)!::send(caller.get(), token_.data(), token_bytes, MSG_NOSIGNAL);
        }
    }

private:
    static sockaddr_un address_of(const Spot& spot) {
        struct sockaddr_un address {};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", trial_folders[spot.index],
                      spot.name);
        return address;
    }
    bool make(const Spot& spot, const Request& request) override {
        std::memcpy(token_.data(), request.token, token_bytes);
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const sockaddr_un address = address_of(spot);
        // No link is followed: bind(2) makes a new file.
        if (!socket ||
            ::bind(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0)
            return false;
        if (::fchmodat(spot.folder, spot.name, request.where.mode, 0) != 0 ||
            ::listen(socket.get(), 4) != 0) {
            const int number = errno;
            ::unlinkat(spot.folder, spot.name, 0);
            errno = number;
            return false;
        }
        sockets_[spot.index] = std::move(socket);
        return true;
    }
    bool get(const Spot& spot, const Request& /*request*/, unsigned char* token) override {
        const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        const sockaddr_un address = address_of(spot);
        if (!socket ||
            ::connect(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0)
            return false;
        if (wait_readable(socket.get())) return read_token(socket.get(), token);
        errno = ETIMEDOUT;
        return false;
    }

    std::array<Fd, trial_folder_count> sockets_;
    std::array<unsigned char, token_bytes> token_{};
};

// Owns a shared mapping of a page of a file.
class Page {
public:
    Page() = default;
    explicit Page(int file) {
        void* memory =
            file >= 0 ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
        if (memory != MAP_FAILED) memory_ = static_cast<unsigned char*>(memory);
    }
    Page(Page&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    Page& operator=(Page&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;
    ~Page() {
        if (memory_ == nullptr) return;
        const int saved = errno;
        ::munmap(memory_, bytes);
        errno = saved;
    }
    explicit operator bool() const { return memory_ != nullptr; }
    [[nodiscard]] unsigned char* token() const { return memory_; }
    /// A word of its own, always 0.
    [[nodiscard]] std::uint32_t* word() const { return reinterpret_cast<std::uint32_t*>(memory_ + 64); }

    static constexpr std::size_t bytes = 4096;

private:
    unsigned char* memory_ = nullptr;
};

class MappingTrial : public FolderTrial {
protected:
    bool make(const Spot& spot, const Request& request) override {
        const Fd file = make_file(spot, request, Page::bytes);
        if (!file) return false;
        Page page(file.get());
        if (!page) {
            const int number = errno;
            ::unlinkat(spot.folder, spot.name, 0);
            errno = number;
            return false;
        }
        std::memcpy(page.token(), request.token, token_bytes);
        pages_[spot.index] = std::move(page);
        return true;
    }
    bool get(const Spot& spot, const Request& /*request*/, unsigned char* token) override {
        const Fd file(::openat(spot.folder, spot.name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        const Page page(file.get());
        if (!page) return false;
        std::memcpy(token, page.token(), token_bytes);
        return use(page);
    }
    virtual bool use(const Page& /*page*/) { return true; }

    std::array<Page, trial_folder_count> pages_;
};

class FutexTrial : public MappingTrial {
public:
    // Wakes whoever waits, again and again.
    [[nodiscard]] bool ticks() const override { return true; }
    void serve() override {
        for (const Page& page : pages_) {
            if (page) ::syscall(SYS_futex, page.word(), FUTEX_WAKE, 1, nullptr, nullptr, 0);
        }
    }

private:
    bool use(const Page& page) override {
        const struct timespec patience { 0, patience_ms * 1000000L };
        // The kernel may wake somebody for no reason, but not twice.
        for (int woken = 0; woken < 2;) {
            if (::syscall(SYS_futex, page.word(), FUTEX_WAIT, 0, &patience, nullptr, 0) == 0)
                ++woken;
            else if (errno != EINTR)
                return false;
        }
        return true;
    }
};

// The one that tries makes a file whose name is the token; the one that offers the folder is told.
class InotifyTrial : public FolderTrial {
public:
    Reply ask(const Request& request) override {
        Reply reply = done();
        reply.where = request.where;
        bool any = false;
        while (!any && wait_readable(events_.get())) {
            alignas(struct inotify_event) char buffer[4096];
            const ssize_t length = ::read(events_.get(), buffer, sizeof buffer);
            for (ssize_t at = 0; at < length;) {
                const auto* event = reinterpret_cast<const struct inotify_event*>(buffer + at);
                at += static_cast<ssize_t>(sizeof *event + event->len);
                any = any || (event->len != 0 && from_letters(event->name, reply.answer));
            }
        }
        return any ? reply : failed("no event arrived", 0);
    }

private:
    bool make(const Spot& spot, const Request& request) override {
        if (!events_) events_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (!events_) return false;
        const ::mode_t mode = request.where.mode == 0600 ? 0700 : 0777;
        if (::mkdirat(spot.folder, spot.name, mode) != 0) return false;
        const std::string path = std::string(trial_folders[spot.index]) + "/" + spot.name;
        if (::inotify_add_watch(events_.get(), path.c_str(), IN_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW) >= 0)
            return true;
        const int number = errno;
        remove(spot);
        errno = number;
        return false;
    }
    bool get(const Spot& spot, const Request& request, unsigned char* token) override {
        const Fd folder(::openat(spot.folder, spot.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!folder) return false;
        char name[2 * token_bytes + 1] = {};
        for (std::size_t i = 0; i < token_bytes; ++i)
            std::snprintf(name + 2 * i, 3, "%02x", static_cast<unsigned>(request.token[i]));
        const Fd file(::openat(folder.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!file) return false;
        ::unlinkat(folder.get(), name, 0);
        std::memcpy(token, request.token, token_bytes);
        return true;
    }
    void remove(const Spot& spot) override {
        const int folder = ::openat(spot.folder, spot.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (DIR* open = folder >= 0 ? ::fdopendir(folder) : nullptr) {
            // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread here
            while (const struct dirent* entry = ::readdir(open)) ::unlinkat(folder, entry->d_name, 0);
            ::closedir(open);
        }
        ::unlinkat(spot.folder, spot.name, AT_REMOVEDIR);
    }
    static bool from_letters(const char* letters, unsigned char* token) {
        for (std::size_t i = 0; i < token_bytes; ++i) {
            const char two[3] = {letters[2 * i], letters[2 * i] != '\0' ? letters[2 * i + 1] : '\0', '\0'};
            char* end = nullptr;
            token[i] = static_cast<unsigned char>(std::strtoul(two, &end, 16));
            if (end != two + 2) return false;
        }
        return true;
    }
    Fd events_;
};

} // namespace

std::unique_ptr<Trial> make_file_trial(ChannelId channel) {
    switch (channel) {
    case ChannelId::fifo: return std::make_unique<FifoTrial>();
    case ChannelId::socket: return std::make_unique<SocketTrial>();
    case ChannelId::mapping: return std::make_unique<MappingTrial>();
    case ChannelId::futex: return std::make_unique<FutexTrial>();
    case ChannelId::inotify: return std::make_unique<InotifyTrial>();
    default: return std::make_unique<FileTrial>();
    }
}

} // namespace ipcns::agent
