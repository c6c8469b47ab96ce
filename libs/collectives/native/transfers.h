// The transfers of a mesh that run, so that an abort or a connection that closes ends them at once.
#pragma once
#include <gloo/transport/unbound_buffer.h>

#include <map>
#include <mutex>
#include <vector>

#include "guarded-transport.h"

namespace dropstream {

class Transfers final : public ConnectionWatcher {
 public:
  explicit Transfers(int size) : closed_(static_cast<size_t>(size), false) {}

  // While a transfer is here it is ended by abort(), and by its peer's connection when that closes. If that has happened already, add() ends it too.
  void add(gloo::transport::UnboundBuffer* buffer, int peer);
  void remove(gloo::transport::UnboundBuffer* buffer);

  void abort() noexcept;
  bool aborted() const;
  bool is_closed(int rank) const;

  void connection_closed(int rank) noexcept override;

 private:
  static void wake(gloo::transport::UnboundBuffer* buffer);

  mutable std::mutex mutex_;
  std::map<gloo::transport::UnboundBuffer*, int> running_;  // with the peer of each
  std::vector<bool> closed_;                                // by rank
  bool aborted_ = false;
};

}  // namespace dropstream
