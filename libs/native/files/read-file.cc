#include "files/read-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

namespace dropstream {

namespace {

bool is_inside(const std::string& folder, const std::string& path) {
  if (folder == "/") return true;
  return path.size() > folder.size() && path[folder.size()] == '/' && path.compare(0, folder.size(), folder) == 0;
}

struct Descriptor {
  const int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

FileOutcome read_file(const FileRequest& request, const std::vector<std::string>& folders) {
  const std::unique_ptr<char, decltype(&free)> real(realpath(request.path.c_str(), nullptr), &free);
  if (!real) return {errno, 0};
  const std::string path(real.get());
  if (std::none_of(folders.begin(), folders.end(), [&](const std::string& folder) { return is_inside(folder, path); })) return {kFileOutside, 0};
  // O_NOFOLLOW: a link that has replaced the file since then is not followed.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (file.fd < 0) return {errno, 0};
  struct stat facts;
  if (fstat(file.fd, &facts) != 0) return {errno, 0};
  if (S_ISDIR(facts.st_mode)) return {EISDIR, 0};
  if (!S_ISREG(facts.st_mode)) return {EINVAL, 0};
  // A file that has grown is detected by its size alone, without reading it.
  if (static_cast<uint64_t>(facts.st_size) != request.size) return {kFileOtherSize, static_cast<uint64_t>(facts.st_size)};
  uint64_t done = 0;
  while (done < request.size) {
    const ssize_t bytes = pread(file.fd, request.out + done, request.size - done, static_cast<off_t>(done));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return {errno, 0};
    if (bytes == 0) return {kFileOtherSize, done};
    done += static_cast<uint64_t>(bytes);
  }
  return {kFileRead, done};
}

}  // namespace dropstream
