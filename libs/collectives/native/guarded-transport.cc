#include "guarded-transport.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <exception>
#include <utility>

namespace dropstream {

// Closes here and not in the base, whose destructor runs when this object is no longer a GuardedPair while Gloo's thread may still call handleEvents.
GuardedPair::~GuardedPair() {
  std::lock_guard<std::mutex> lock(m_);
  if (state_ == CLOSED) return;
  prepare_closing();
  Pair::changeState(CLOSED);
}

void GuardedPair::handleEvents(int events) {
  try {
    Pair::handleEvents(events);
  } catch (...) {
    // As in the base: a thread that has the lock may wait for this one, which is called again as long as there is something to do.
    const std::unique_lock<std::mutex> lock(m_, std::try_to_lock);
    if (!lock) return;
    try {
      if (state_ != CLOSED) signalException(std::current_exception());
    } catch (...) {
      // There was no memory to tell the transfers that wait; the watcher still learns of it.
      changeState(CLOSED);
    }
  }
}

void GuardedPair::changeState(state next) noexcept {
  const bool closes = next == CLOSED && state_ != CLOSED;
  if (closes) prepare_closing();
  Pair::changeState(next);
  if (closes) watcher_->connection_closed(rank_);
}

// Closing takes the socket out of what Gloo's thread watches, where a socket that is not in there is an exception that nothing could catch. It is not
// in there after an exception between taking one socket out and putting another one in: a peer that is gone again when it is accepted is enough.
void GuardedPair::prepare_closing() noexcept {
  if (fd_ < 0) return;
  try {
    device_->registerDescriptor(fd_, EPOLLIN, this);
  } catch (...) {
    ::close(fd_);
    fd_ = -1;
    // The state in which Gloo has nothing to take out.
    state_ = INITIALIZING;
  }
}

std::unique_ptr<gloo::transport::Pair>& GuardedContext::createPair(int rank) {
  auto& pair = pairs_[static_cast<size_t>(rank)];
  pair = std::make_unique<GuardedPair>(this, device_.get(), rank, getTimeout(), watcher_);
  return pair;
}

void GuardedContext::close_connections() noexcept {
  for (auto& pair : pairs_) {
    try {
      if (pair) pair->close();
    } catch (...) {
      // It could not be closed in an orderly way; it will be when the context is destroyed.
    }
  }
}

}  // namespace dropstream
