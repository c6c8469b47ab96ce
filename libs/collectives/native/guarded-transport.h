// Gloo's TCP transport, with two things that it lacks.
//
// Gloo moves bytes on a thread of its own, where an exception would end the process, for example if somebody else connects to a port and sends what is
// not Gloo's protocol. Here such an exception closes that one connection. And Gloo does not tell a transfer that it has begun that its connection has
// closed, so that it would wait until its time-out. Here whoever watches learns of every connection that closes, at once.
#pragma once
#include <gloo/transport/tcp/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/tcp/pair.h>

#include <memory>

namespace dropstream {

class ConnectionWatcher {
 public:
  virtual ~ConnectionWatcher() = default;
  // The connection to this rank has closed, for whatever reason. Any thread may call it, with the connection's lock: it must not use connections.
  virtual void connection_closed(int rank) noexcept = 0;
};

class GuardedPair final : public gloo::transport::tcp::Pair {
 public:
  GuardedPair(gloo::transport::tcp::Context* context, gloo::transport::tcp::Device* device, int rank, std::chrono::milliseconds timeout,
              std::shared_ptr<ConnectionWatcher> watcher)
      : Pair(context, device, rank, timeout), watcher_(std::move(watcher)) {}
  ~GuardedPair() override;

  void handleEvents(int events) override;

 protected:
  void changeState(state next) noexcept override;

 private:
  void prepare_closing() noexcept;
  const std::shared_ptr<ConnectionWatcher> watcher_;
};

class GuardedContext final : public gloo::transport::tcp::Context {
 public:
  GuardedContext(std::shared_ptr<gloo::transport::tcp::Device> device, int rank, int size, std::shared_ptr<ConnectionWatcher> watcher)
      : Context(std::move(device), rank, size), watcher_(std::move(watcher)) {}

  std::unique_ptr<gloo::transport::Pair>& createPair(int rank) override;

  // Resets all connections, so that the others notice at once. Waits up to 10 ms for each, so it is not for the event loop.
  void close_connections() noexcept;

 private:
  const std::shared_ptr<ConnectionWatcher> watcher_;
};

}  // namespace dropstream
