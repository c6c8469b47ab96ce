// pixelsRender and pixelsDecode.
#include <cstring>

#include "binding/arguments.h"
#include "binding/call.h"
#include "binding/exports.h"
#include "plan-record.h"
#include "render.h"

namespace dropstream::pixels {
namespace {

RenderScratch& scratch_of_thread() {
  thread_local RenderScratch scratch;
  return scratch;
}

class RenderCall final : public Call {
 public:
  RenderCall(Environment& environment, size_t threads, std::vector<RenderRecord> jobs, int size, uint8_t* out, const uint8_t* cancel)
      : Call(environment, jobs.size(), threads), jobs_(std::move(jobs)), size_(size), out_(out) {
    cancel_ = cancel;
  }

 private:
  size_t bytes() const { return 3 * static_cast<size_t>(size_) * static_cast<size_t>(size_); }
  void work(size_t job) override {
    render(jobs_[job].source, jobs_[job].plan, size_, scratch_of_thread(), out_ + job * bytes());
    scratch_of_thread().trim();
  }
  void blank(size_t job) noexcept override { std::memset(out_ + job * bytes(), 0, bytes()); }

  const std::vector<RenderRecord> jobs_;
  const int size_;
  uint8_t* const out_;
};

class DecodeCall final : public Call {
 public:
  DecodeCall(Environment& environment, RenderRecord job, uint8_t* out, size_t out_size)
      : Call(environment, 1, 1), job_(std::move(job)), out_(out), out_size_(out_size) {}

 private:
  void work(size_t) override {
    decode_source(job_.source, job_.plan, scratch_of_thread(), out_, out_size_);
    scratch_of_thread().trim();
  }
  void blank(size_t) noexcept override { std::memset(out_, 0, out_size_); }

  const RenderRecord job_;
  uint8_t* const out_;
  const size_t out_size_;
};

}  // namespace

napi_value render_batch(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 7);
  const auto sources = elements(env, arguments.value[0], "sources: must be an array");
  const auto palettes = elements(env, arguments.value[1], "palettes: must be an array");
  const auto records = typed_array<double>(env, arguments.value[2], napi_float64_array, "records: must be a Float64Array");
  const auto size = static_cast<int>(word_argument(env, arguments.value[3], kMaxOutputSide, "size: must be 1 to 4096"));
  const auto out = typed_array<uint8_t>(env, arguments.value[4], napi_uint8_array, "out: must be a Uint8Array");
  const size_t threads = word_argument(env, arguments.value[5], 4096, "threads: must be 1 to 4096");
  const Bytes cancel = bytes_argument(env, arguments.value[6], "cancel: must be a Uint8Array");
  if (size < 1) throw ArgumentError("size: must be 1 to 4096");
  if (palettes.size() != sources.size()) throw ArgumentError("palettes: one for each source");
  if (cancel.size < 1) throw ArgumentError("cancel: must hold a byte");
  if (out.size != sources.size() * 3 * static_cast<size_t>(size) * static_cast<size_t>(size)) {
    throw ArgumentError("out: must hold 3 x size x size bytes for each source");
  }
  RecordReader reader(records.data, records.size);
  std::vector<RenderRecord> jobs;
  for (size_t i = 0; i < sources.size(); i++) {
    jobs.push_back(read_render_record(reader));
    jobs.back().source.bytes = bytes_argument(env, sources[i], "sources: must hold Uint8Arrays");
    jobs.back().source.palette = optional_bytes(env, palettes[i], "palettes: must hold Uint8Arrays or null");
  }
  if (!reader.at_end()) throw ArgumentError("records: longer than the sources");
  auto call = std::make_unique<RenderCall>(*arguments.environment, threads, std::move(jobs), size, out.data, cancel.data);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

napi_value decode_one(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 4);
  const auto record = typed_array<double>(env, arguments.value[2], napi_float64_array, "record: must be a Float64Array");
  const auto out = typed_array<uint8_t>(env, arguments.value[3], napi_uint8_array, "out: must be a Uint8Array");
  RecordReader reader(record.data, record.size);
  RenderRecord job = read_render_record(reader);
  job.source.bytes = bytes_argument(env, arguments.value[0], "source: must be a Uint8Array");
  job.source.palette = optional_bytes(env, arguments.value[1], "palette: must be a Uint8Array or null");
  auto call = std::make_unique<DecodeCall>(*arguments.environment, std::move(job), out.data, out.size);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

}  // namespace dropstream::pixels
