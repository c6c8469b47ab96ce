// Connections between all members of a group over Gloo, and the execution of programs on them. Every function that may block runs on a thread of the
// caller's, never on the event loop's; abort() can be called from any thread and does not wait.
#pragma once
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "mesh-program.h"
#include "transfers.h"

namespace dropstream {

// The mesh failed because of a peer, as far as this member can tell; `aborted` if abort() was called, in which case the peer is whoever was waited for.
struct MeshFailure : std::runtime_error {
  MeshFailure(bool aborted, int peer, const std::string& why) : std::runtime_error(why), aborted(aborted), peer(peer) {}
  bool aborted;
  int peer;  // -1 if it is not known
};

class Mesh {
 public:
  Mesh(int rank, int size, std::chrono::milliseconds connect_timeout, std::chrono::milliseconds transfer_timeout);
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Listens at `host`, a numeric address of this machine. Returns what each other rank must connect to, in Gloo's form, empty for the own rank.
  std::vector<std::vector<char>> open(const std::string& host);
  // `addresses`: by rank, what each other member's open() returned for this one.
  void connect(const std::vector<std::vector<char>>& addresses);
  void run(const MeshProgram& program, const std::vector<float*>& arrays);

  void abort() noexcept { transfers_->abort(); }
  // Resets the connections, so that the others notice, and that connect() ends.
  void reset_connections() noexcept;
  // Waits until nothing runs, and closes everything. What still runs must have been aborted.
  void close();

 private:
  class Use;
  class Execution;
  MeshFailure first_failure(const MeshFailure& failure);
  void give_up(GuardedContext& context) noexcept;
  std::unique_ptr<float[]> take_scratch(size_t floats, size_t* held);
  void give_scratch(std::unique_ptr<float[]> scratch, size_t floats);

  const int rank_, size_;
  const std::chrono::milliseconds connect_timeout_, transfer_timeout_;
  const std::shared_ptr<Transfers> transfers_;

  std::mutex mutex_;
  std::condition_variable idle_;
  int uses_ = 0;  // calls that use the context
  bool closing_ = false;
  std::unique_ptr<MeshFailure> failure_;  // the first one of a peer
  std::shared_ptr<GuardedContext> context_;
  // Scratch memory of the last program: the next one is likely to need as much, and fresh memory costs page faults.
  std::unique_ptr<float[]> scratch_;
  size_t scratch_floats_ = 0;
};

}  // namespace dropstream
