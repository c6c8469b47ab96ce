#include "binding/arguments.h"

namespace dropstream::pixels {

Bytes bytes_argument(napi_env env, napi_value value, const char* what) {
  const auto span = typed_array<uint8_t>(env, value, napi_uint8_array, what);
  return {span.data, span.size};
}

Bytes optional_bytes(napi_env env, napi_value value, const char* what) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type), what);
  return type == napi_null ? Bytes{} : bytes_argument(env, value, what);
}

uint32_t word_argument(napi_env env, napi_value value, double high, const char* what) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= high) || number != static_cast<uint32_t>(number)) {
    throw ArgumentError(what);
  }
  return static_cast<uint32_t>(number);
}

std::vector<napi_value> elements(napi_env env, napi_value array, const char* what) {
  bool is = false;
  uint32_t length = 0;
  if (napi_is_array(env, array, &is) != napi_ok || !is || napi_get_array_length(env, array, &length) != napi_ok) throw ArgumentError(what);
  std::vector<napi_value> values(length);
  for (uint32_t i = 0; i < length; i++) check(napi_get_element(env, array, i, &values[i]), what);
  return values;
}

Arguments arguments_of(napi_env env, napi_callback_info info, size_t expected) {
  Arguments arguments{};
  size_t count = kMaxArguments;
  void* data;
  check(napi_get_cb_info(env, info, &count, arguments.value, nullptr, &data), "Node-API could not read the arguments");
  if (count != expected) throw ArgumentError("wrong number of arguments");
  arguments.environment = static_cast<Environment*>(data);
  check(napi_create_array_with_length(env, expected, &arguments.kept), "Node-API could not make an array");
  for (uint32_t i = 0; i < expected; i++) check(napi_set_element(env, arguments.kept, i, arguments.value[i]), "Node-API could not make an array");
  return arguments;
}

}  // namespace dropstream::pixels
