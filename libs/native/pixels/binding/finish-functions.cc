// pixelsFinish.
#include <cstring>

#include "binding/arguments.h"
#include "binding/call.h"
#include "binding/exports.h"
#include "finish.h"
#include "plan-record.h"

namespace dropstream::pixels {
namespace {

class FinishCall final : public Call {
 public:
  FinishCall(Environment& environment, size_t threads, FinishBatch batch, std::vector<float> tables, void* out, bool bfloat16)
      : Call(environment, static_cast<size_t>(batch.count), threads), batch_(std::move(batch)), tables_(std::move(tables)), out_(out), bfloat16_(bfloat16) {
    batch_.tables = tables_.data();
  }

 private:
  size_t values() const { return 3 * static_cast<size_t>(batch_.size) * static_cast<size_t>(batch_.size); }
  void work(size_t job) override {
    thread_local FinishScratch scratch;
    if (bfloat16_) {
      finish_bfloat16(batch_, static_cast<int>(job), scratch, static_cast<uint16_t*>(out_) + job * values());
    } else {
      finish_float32(batch_, static_cast<int>(job), scratch, static_cast<float*>(out_) + job * values());
    }
  }
  void blank(size_t job) noexcept override {
    const size_t width = bfloat16_ ? 2 : 4;
    std::memset(static_cast<uint8_t*>(out_) + job * values() * width, 0, values() * width);
  }

  FinishBatch batch_;
  const std::vector<float> tables_;
  void* const out_;
  const bool bfloat16_;
};

}  // namespace

napi_value finish_batch(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 7);
  FinishBatch batch;
  const Bytes pixels = bytes_argument(env, arguments.value[0], "pixels: must be a Uint8Array");
  batch.pixels = pixels.data;
  batch.count = static_cast<int>(word_argument(env, arguments.value[1], 1 << 24, "n: must be a number of samples"));
  batch.size = static_cast<int>(word_argument(env, arguments.value[2], kMaxOutputSide, "size: must be 1 to 4096"));
  const auto tables = typed_array<float>(env, arguments.value[3], napi_float32_array, "tables: must be a Float32Array");
  const auto records = typed_array<double>(env, arguments.value[4], napi_float64_array, "records: must be a Float64Array");
  const size_t threads = word_argument(env, arguments.value[6], 4096, "threads: must be 1 to 4096");
  const size_t values = static_cast<size_t>(batch.count) * 3 * static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size);
  if (batch.size < 1) throw ArgumentError("size: must be 1 to 4096");
  if (pixels.size != values) throw ArgumentError("pixels: must hold n x 3 x size x size bytes");
  if (tables.size != 768) throw ArgumentError("tables: must hold 3 x 256 values");
  napi_typedarray_type type;
  void* out = nullptr;
  size_t length = 0;
  bool is = false;
  if (napi_is_typedarray(env, arguments.value[5], &is) != napi_ok || !is ||
      napi_get_typedarray_info(env, arguments.value[5], &type, &length, &out, nullptr, nullptr) != napi_ok ||
      (type != napi_float32_array && type != napi_uint16_array)) {
    throw ArgumentError("out: must be a Float32Array or a Uint16Array");
  }
  if (length != values) throw ArgumentError("out: must hold n x 3 x size x size values");
  RecordReader reader(records.data, records.size);
  for (int i = 0; i < batch.count; i++) batch.samples.push_back(read_finish_record(reader));
  if (!reader.at_end()) throw ArgumentError("records: longer than n");
  check_finish(batch);
  auto call = std::make_unique<FinishCall>(*arguments.environment, threads, std::move(batch), std::vector<float>(tables.data, tables.data + 768), out,
                                           type == napi_uint16_array);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

}  // namespace dropstream::pixels
