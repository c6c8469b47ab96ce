#include "guarded-transport.h"

#include <exception>
#include <utility>

namespace dropstream {

// Closes here and not in the base, whose destructor runs when this object is no longer a GuardedPair while Gloo's thread may still call handleEvents.
GuardedPair::~GuardedPair() {
  std::lock_guard<std::mutex> lock(m_);
  if (state_ != CLOSED) Pair::changeState(CLOSED);
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
  Pair::changeState(next);
  if (closes) watcher_->connection_closed(rank_);
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
