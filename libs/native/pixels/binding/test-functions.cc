// Exports parts of the library to its tests.
#include "binding/arguments.h"
#include "binding/exports.h"
#include "jpeg.h"
#include "noise.h"
#include "random/normal.h"
#include "trigonometry.h"

namespace dropstream::pixels {

napi_value normal_quantiles(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 1);
  const auto p = typed_array<double>(env, arguments.value[0], napi_float64_array, "p: must be a Float64Array");
  napi_value buffer, array;
  void* data;
  check(napi_create_arraybuffer(env, 8 * p.size, &data, &buffer), "Node-API could not allocate memory");
  for (size_t i = 0; i < p.size; i++) static_cast<double*>(data)[i] = normal_quantile(p.data[i]);
  check(napi_create_typedarray(env, napi_float64_array, p.size, buffer, 0, &array), "Node-API could not make an array");
  return array;
}

napi_value noise(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 6);
  uint32_t words[5];
  for (size_t i = 0; i < 5; i++) words[i] = word_argument(env, arguments.value[i], 4294967295.0, "must be a 32-bit word");
  const uint32_t count = word_argument(env, arguments.value[5], 1 << 24, "count: too large");
  napi_value buffer, array;
  void* data;
  check(napi_create_arraybuffer(env, size_t{4} * count, &data, &buffer), "Node-API could not allocate memory");
  const NoiseStream stream{{words[0], words[1]}, words[2], words[3]};
  stream.fill(words[4], static_cast<int>(count), static_cast<float*>(data));
  check(napi_create_typedarray(env, napi_float32_array, count, buffer, 0, &array), "Node-API could not make an array");
  return array;
}

napi_value rotation(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 1);
  double degrees;
  check(napi_get_value_double(env, arguments.value[0], &degrees), "degrees: must be a number");
  const Rotation rotation = rotation_of(degrees);
  napi_value pair, cosine, sine;
  check(napi_create_array_with_length(env, 2, &pair), "Node-API could not make an array");
  check(napi_create_double(env, rotation.cosine, &cosine), "Node-API could not make a number");
  check(napi_create_double(env, rotation.sine, &sine), "Node-API could not make a number");
  check(napi_set_element(env, pair, 0, cosine), "Node-API could not make an array");
  check(napi_set_element(env, pair, 1, sine), "Node-API could not make an array");
  return pair;
}

napi_value decode_window(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 4);
  const Bytes file = bytes_argument(env, arguments.value[0], "file: must be a Uint8Array");
  const auto box = typed_array<int32_t>(env, arguments.value[1], napi_int32_array, "window: must be an Int32Array");
  const bool plain = word_argument(env, arguments.value[2], 1, "plain: must be 0 or 1") == 1;
  const auto out = typed_array<uint8_t>(env, arguments.value[3], napi_uint8_array, "out: must be a Uint8Array");
  if (box.size != 4) throw ArgumentError("window: must hold top, left, height and width");
  const auto choose = [&](int width, int height) { return window_within({box.data[0], box.data[1], box.data[2], box.data[3]}, width, height); };
  Image image;
  JpegScratch scratch;
  if (plain) {
    if (!decode_plain_jpeg(file, 0, 0, choose, image, *scratch.plain)) return nullptr;
  } else {
    scratch.plain.reset();
    decode_jpeg(file, 0, 0, choose, image, scratch);
  }
  if (out.size != 3 * image.area()) throw ArgumentError("out: must hold 3 x height x width bytes");
  for (size_t i = 0; i < out.size; i++) out.data[i] = image.plane(0)[i];
  return arguments.value[3];
}

}  // namespace dropstream::pixels
