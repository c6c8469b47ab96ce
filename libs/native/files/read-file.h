// Whole files into memory that is there: what asynchronous jobs of the addon do, without JavaScript.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dropstream {

enum FileStatus : int {
  kFileRead = 0,
  kFileOutside = -1,    // the file itself, links resolved, is in none of the folders
  kFileOtherSize = -2,  // see FileOutcome::found
  // Above 0: errno.
};

struct FileRequest {
  std::string path;
  uint64_t size;  // bytes that it must have
  uint8_t* out;   // of `size` bytes
};

struct FileOutcome {
  int status;
  uint64_t found;  // bytes of the file, where it has another size
};

// `folders`: real paths. Never blocks on what is no file (FIFOs, devices: EINVAL). `out` holds anything where the status is not kFileRead.
FileOutcome read_file(const FileRequest& request, const std::vector<std::string>& folders);

}  // namespace dropstream
