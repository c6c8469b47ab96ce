// Reads whole files into memory that the caller allocated. The addon's asynchronous jobs call this; it does not use JavaScript.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dropstream {

enum FileStatus : int {
  kFileRead = 0,
  kFileOutside = -1,    // the file, after its links are resolved, is in none of the folders
  kFileOtherSize = -2,  // see FileOutcome::found
  // Values above 0 are errno.
};

struct FileRequest {
  std::string path;
  uint64_t size;  // required size in bytes
  uint8_t* out;   // `size` bytes of memory
};

struct FileOutcome {
  int status;
  uint64_t found;  // the actual size in bytes, if it differs from the required one
};

// `folders` are real paths. Non-regular files (such as FIFOs and devices) are rejected with EINVAL, so a read never waits for another
// process. The contents of `out` are undefined unless the status is kFileRead.
FileOutcome read_file(const FileRequest& request, const std::vector<std::string>& folders);

}  // namespace dropstream
