// pixelsMix.
#include <cstring>

#include "binding/arguments.h"
#include "binding/call.h"
#include "binding/exports.h"
#include "finish.h"
#include "plan-record.h"

namespace dropstream::pixels {
namespace {

class MixCall final : public Call {
 public:
  MixCall(Environment& environment, size_t threads, std::vector<Bytes> images, int size, std::vector<FinishSample> samples, uint8_t* out)
      : Call(environment, samples.size(), threads), images_(std::move(images)), size_(size), samples_(std::move(samples)), out_(out) {}

 private:
  size_t bytes() const { return 3 * static_cast<size_t>(size_) * static_cast<size_t>(size_); }
  void work(size_t job) override { mix_uint8(images_, size_, samples_[job], static_cast<int>(job), out_ + job * bytes()); }
  void blank(size_t job) noexcept override { std::memset(out_ + job * bytes(), 0, bytes()); }

  const std::vector<Bytes> images_;
  const int size_;
  const std::vector<FinishSample> samples_;
  uint8_t* const out_;
};

}  // namespace

napi_value mix_batch(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 5);
  const auto sources = elements(env, arguments.value[0], "images: must be an array");
  const auto size = static_cast<int>(word_argument(env, arguments.value[1], kMaxOutputSide, "size: must be 1 to 4096"));
  const auto records = typed_array<double>(env, arguments.value[2], napi_float64_array, "records: must be a Float64Array");
  const auto out = typed_array<uint8_t>(env, arguments.value[3], napi_uint8_array, "out: must be a Uint8Array");
  const size_t threads = word_argument(env, arguments.value[4], 4096, "threads: must be 1 to 4096");
  const size_t each = 3 * static_cast<size_t>(size) * static_cast<size_t>(size);
  if (size < 1) throw ArgumentError("size: must be 1 to 4096");
  if (out.size != sources.size() * each) throw ArgumentError("out: must hold 3 x size x size bytes for each image");
  std::vector<Bytes> images;
  FinishBatch batch;
  batch.count = static_cast<int>(sources.size());
  batch.size = size;
  RecordReader reader(records.data, records.size);
  for (const napi_value source : sources) {
    images.push_back(bytes_argument(env, source, "images: must hold Uint8Arrays"));
    if (images.back().size != each) throw ArgumentError("images: must hold 3 x size x size bytes each");
    batch.samples.push_back(read_finish_record(reader));
  }
  if (!reader.at_end()) throw ArgumentError("records: longer than the images");
  check_finish(batch);
  auto call = std::make_unique<MixCall>(*arguments.environment, threads, std::move(images), size, std::move(batch.samples), out.data);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

}  // namespace dropstream::pixels
