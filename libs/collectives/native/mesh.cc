#include "mesh.h"

#include <cstring>
#include <utility>

#include "sums.h"

namespace dropstream {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kBytesPerFloat = sizeof(float);

// Gloo finds the transfer of the other side by this number. It contains the size, so that members who disagree about a transfer wait in vain for each
// other, and never receive something that does not fit.
uint64_t slot_of(const Instruction& one) { return (uint64_t{one.tag} << 33) ^ one.count; }

// Gloo's messages begin with the file and line of its sources.
std::string message_of(const std::exception& error) {
  std::string text = error.what();
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find("] ");
    if (end != std::string::npos) text.erase(0, end + 2);
  }
  return text;
}

}  // namespace

// A call that uses the context: close() waits for it.
class Mesh::Use {
 public:
  explicit Use(Mesh& mesh) : mesh_(mesh) {
    const std::lock_guard<std::mutex> lock(mesh.mutex_);
    if (mesh.closing_ || !mesh.context_) throw std::runtime_error("the mesh is closed");
    context = mesh.context_;
    mesh.uses_++;
  }
  ~Use() {
    context.reset();
    const std::lock_guard<std::mutex> lock(mesh_.mutex_);
    if (--mesh_.uses_ == 0) mesh_.idle_.notify_all();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  std::shared_ptr<GuardedContext> context;

 private:
  Mesh& mesh_;
};

// One program that runs. Nothing touches its arrays after the destructor: Gloo leaves out transfers whose buffers are gone.
class Mesh::Execution {
 public:
  Execution(Mesh& mesh, GuardedContext& context, const MeshProgram& program, const std::vector<float*>& arrays, float* scratch)
      : mesh_(mesh), context_(context), program_(program), arrays_(arrays), scratch_(scratch) {
    transfers_.reserve(program.transfers);
  }
  ~Execution() {
    for (const Transfer& one : transfers_)
      if (one.buffer) mesh_.transfers_->remove(one.buffer.get());
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  void run() {
    for (const Instruction& one : program_.instructions) execute(one);
    for (Transfer& one : transfers_) wait(one);
  }

 private:
  struct Transfer {
    std::unique_ptr<gloo::transport::UnboundBuffer> buffer;  // empty when it has ended
    int peer;
    bool receives;
  };

  float* at(const Place& place) const { return (place.array < arrays_.size() ? arrays_[place.array] : scratch_) + place.offset; }

  void execute(const Instruction& one) {
    switch (one.kind) {
      case Instruction::Kind::receive:
      case Instruction::Kind::send: return post(one);
      case Instruction::Kind::wait: return wait(transfers_[one.transfer]);
      case Instruction::Kind::add: return add_floats(at(one.into), at(one.left), at(one.right), one.count);
      case Instruction::Kind::copy: memmove(at(one.into), at(one.left), one.count * kBytesPerFloat); return;
    }
  }

  void post(const Instruction& one) {
    const bool receives = one.kind == Instruction::Kind::receive;
    const size_t bytes = one.count * kBytesPerFloat;
    transfers_.push_back({context_.createUnboundBuffer(at(one.into), bytes), one.peer, receives});
    gloo::transport::UnboundBuffer& buffer = *transfers_.back().buffer;
    mesh_.transfers_->add(&buffer, one.peer);
    try {
      if (receives)
        buffer.recv(one.peer, slot_of(one), 0, bytes);
      else
        buffer.send(one.peer, slot_of(one), 0, bytes);
    } catch (const std::exception& error) {
      fail(one.peer, false, error);
    }
  }

  void wait(Transfer& one) {
    if (!one.buffer) return;
    const Clock::time_point began = Clock::now();
    try {
      // False: something woke it. If that was a connection that closed, what had been transferred before counts.
      if (!wait_for(one, mesh_.transfer_timeout_) && (mesh_.transfers_->aborted() || !wait_for(one, milliseconds(0))))
        throw std::runtime_error("the transfer was ended");
    } catch (const std::exception& error) {
      fail(one.peer, Clock::now() - began >= mesh_.transfer_timeout_, error);
    }
    mesh_.transfers_->remove(one.buffer.get());
    one.buffer.reset();
  }

  static bool wait_for(const Transfer& one, milliseconds timeout) { return one.receives ? one.buffer->waitRecv(timeout) : one.buffer->waitSend(timeout); }

  [[noreturn]] void fail(int peer, bool late, const std::exception& error) const {
    if (mesh_.transfers_->aborted()) throw MeshFailure(true, peer, "it was aborted");
    if (late) throw MeshFailure(false, peer, "there was no progress for " + std::to_string(mesh_.transfer_timeout_.count()) + " ms");
    if (mesh_.transfers_->is_closed(peer)) throw MeshFailure(false, peer, "its connection has closed");
    throw MeshFailure(false, peer, message_of(error));
  }

  Mesh& mesh_;
  GuardedContext& context_;
  const MeshProgram& program_;
  const std::vector<float*>& arrays_;
  float* const scratch_;
  std::vector<Transfer> transfers_;
};

Mesh::Mesh(int rank, int size, milliseconds connect_timeout, milliseconds transfer_timeout)
    : rank_(rank), size_(size), connect_timeout_(connect_timeout), transfer_timeout_(transfer_timeout), transfers_(std::make_shared<Transfers>(size)) {}

Mesh::~Mesh() { close(); }

std::vector<std::vector<char>> Mesh::open(const std::string& host) {
  gloo::transport::tcp::attr attributes;
  attributes.hostname = host;
  const auto device = std::make_shared<gloo::transport::tcp::Device>(gloo::transport::tcp::CreateDeviceAttr(attributes));
  auto context = std::make_shared<GuardedContext>(device, rank_, size_, transfers_);
  context->setTimeout(connect_timeout_);
  std::vector<std::vector<char>> addresses(static_cast<size_t>(size_));
  for (int peer = 0; peer < size_; peer++)
    if (peer != rank_) addresses[static_cast<size_t>(peer)] = context->createPair(peer)->address().bytes();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closing_ || context_) throw std::runtime_error("the mesh is closed, or open already");
  context_ = std::move(context);
  return addresses;
}

void Mesh::connect(const std::vector<std::vector<char>>& addresses) {
  const Use use(*this);
  for (int peer = 0; peer < size_; peer++) {
    if (peer == rank_) continue;
    try {
      if (transfers_->aborted()) throw std::runtime_error("aborted");
      use.context->getPair(peer)->connect(addresses[static_cast<size_t>(peer)]);
      if (transfers_->is_closed(peer)) throw std::runtime_error("its connection has closed");
    } catch (const std::exception& error) {
      throw MeshFailure(transfers_->aborted(), peer, message_of(error));
    }
  }
}

void Mesh::run(const MeshProgram& program, const std::vector<float*>& arrays) {
  const Use use(*this);
  flush_subnormals(program.flush_subnormals);
  size_t floats = 0;
  std::unique_ptr<float[]> scratch = take_scratch(program.scratch, &floats);
  try {
    Execution(*this, *use.context, program, arrays, scratch.get()).run();
  } catch (const MeshFailure& failure) {
    const MeshFailure first = first_failure(failure);
    give_up(*use.context);
    throw first;
  } catch (...) {
    give_up(*use.context);
    throw;
  }
  give_scratch(std::move(scratch), floats);
}

// Other programs that run on the mesh end because of this one, and say why.
MeshFailure Mesh::first_failure(const MeshFailure& failure) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_ && !failure.aborted) failure_ = std::make_unique<MeshFailure>(failure);
  return failure_ ? *failure_ : failure;
}

// A transfer that was given up leaves a connection in the middle of a message: the mesh is of no use, and the others should know.
void Mesh::give_up(GuardedContext& context) noexcept {
  transfers_->abort();
  context.close_connections();
}

void Mesh::reset_connections() noexcept {
  try {
    const Use use(*this);
    use.context->close_connections();
  } catch (const std::exception&) {
    // There are none yet, or none any more.
  }
}

void Mesh::close() {
  std::shared_ptr<GuardedContext> context;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    closing_ = true;
    idle_.wait(lock, [this] { return uses_ == 0; });
    context = std::move(context_);
    scratch_.reset();
  }
  // Its destructor closes the connections after what was sent, unlike close_connections.
  context.reset();
}

std::unique_ptr<float[]> Mesh::take_scratch(size_t floats, size_t* held) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (scratch_ && scratch_floats_ >= floats) {
      *held = scratch_floats_;
      return std::move(scratch_);
    }
  }
  *held = floats;
  return std::unique_ptr<float[]>(floats == 0 ? nullptr : new float[floats]);
}

void Mesh::give_scratch(std::unique_ptr<float[]> scratch, size_t floats) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closing_ || (scratch_ && scratch_floats_ >= floats)) return;
  scratch_ = std::move(scratch);
  scratch_floats_ = floats;
}

}  // namespace dropstream
