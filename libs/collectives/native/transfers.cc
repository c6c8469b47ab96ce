#include "transfers.h"

namespace dropstream {

// Gloo keeps both flags until the next wait, so it does not matter whether somebody waits already.
void Transfers::wake(gloo::transport::UnboundBuffer* buffer) {
  buffer->abortWaitRecv();
  buffer->abortWaitSend();
}

void Transfers::add(gloo::transport::UnboundBuffer* buffer, int peer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  running_.emplace(buffer, peer);
  if (aborted_ || closed_[static_cast<size_t>(peer)]) wake(buffer);
}

void Transfers::remove(gloo::transport::UnboundBuffer* buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  running_.erase(buffer);
}

void Transfers::abort() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  aborted_ = true;
  for (const auto& [buffer, peer] : running_) wake(buffer);
}

bool Transfers::aborted() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return aborted_;
}

bool Transfers::is_closed(int rank) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_[static_cast<size_t>(rank)];
}

void Transfers::connection_closed(int rank) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_[static_cast<size_t>(rank)] = true;
  for (const auto& [buffer, peer] : running_)
    if (peer == rank) wake(buffer);
}

}  // namespace dropstream
