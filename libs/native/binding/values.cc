#include "binding/values.h"

#include <cmath>

namespace dropstream {

void require_ok(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending || status == napi_pending_exception) throw PendingException{};
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw std::runtime_error(std::string("Node-API: ") + (info && info->error_message ? info->error_message : "failed"));
}

void Field::refuse(const std::string& must) const { throw BadValue(path_ + " must be " + must); }

bool Field::present() const {
  napi_valuetype type;
  require_ok(env_, napi_typeof(env_, value_, &type));
  return type != napi_undefined && type != napi_null;
}

Field Field::operator[](const char* name) const {
  napi_valuetype type;
  require_ok(env_, napi_typeof(env_, value_, &type));
  if (type != napi_object) refuse("an object");
  napi_value property;
  require_ok(env_, napi_get_named_property(env_, value_, name, &property));
  return {env_, property, path_ + "." + name};
}

uint32_t Field::length() const {
  bool array = false;
  require_ok(env_, napi_is_array(env_, value_, &array));
  if (!array) refuse("an array");
  uint32_t count;
  require_ok(env_, napi_get_array_length(env_, value_, &count));
  return count;
}

Field Field::at(uint32_t index) const {
  napi_value element;
  require_ok(env_, napi_get_element(env_, value_, index, &element));
  return {env_, element, path_ + "[" + std::to_string(index) + "]"};
}

double Field::number() const {
  double number;
  if (napi_get_value_double(env_, value_, &number) != napi_ok) refuse("a number");
  return number;
}

uint64_t Field::whole(uint64_t max) const {
  const double value = number();
  if (!(value >= 0 && value <= (double)max) || value != std::floor(value)) refuse("a whole number from 0 to " + std::to_string(max));
  return (uint64_t)value;
}

std::string Field::text() const {
  size_t length;
  if (napi_get_value_string_utf8(env_, value_, nullptr, 0, &length) != napi_ok) refuse("a string");
  std::string text(length, '\0');
  require_ok(env_, napi_get_value_string_utf8(env_, value_, &text[0], length + 1, &length));
  return text;
}

uint64_t Field::bits64() const {
  uint64_t bits;
  bool lossless;
  if (napi_get_value_bigint_uint64(env_, value_, &bits, &lossless) != napi_ok) refuse("a bigint");
  return bits;
}

std::vector<std::string> Field::names() const {
  napi_valuetype type;
  require_ok(env_, napi_typeof(env_, value_, &type));
  if (type != napi_object) refuse("an object");
  napi_value keys;
  require_ok(env_, napi_get_property_names(env_, value_, &keys));
  const Field list(env_, keys, path_);
  std::vector<std::string> names;
  for (uint32_t i = 0, n = list.length(); i < n; i++) names.push_back(list.at(i).text());
  return names;
}

void* Field::typed(napi_typedarray_type type, const char* name, size_t* count) const {
  bool typed = false;
  require_ok(env_, napi_is_typedarray(env_, value_, &typed));
  napi_typedarray_type found{};
  void* data = nullptr;
  if (typed) require_ok(env_, napi_get_typedarray_info(env_, value_, &found, count, &data, nullptr, nullptr));
  if (!typed || found != type) refuse(std::string("a ") + name);
  return data;
}

float* Field::floats(size_t* count) const { return static_cast<float*>(typed(napi_float32_array, "Float32Array", count)); }
uint8_t* Field::bytes(size_t* count) const { return static_cast<uint8_t*>(typed(napi_uint8_array, "Uint8Array", count)); }

std::vector<double> Field::doubles() const {
  size_t count;
  const double* data = static_cast<double*>(typed(napi_float64_array, "Float64Array", &count));
  return std::vector<double>(data, data + count);
}

napi_value make_number(napi_env env, double value) {
  napi_value result;
  require_ok(env, napi_create_double(env, value, &result));
  return result;
}

napi_value make_text(napi_env env, const std::string& text) {
  napi_value result;
  require_ok(env, napi_create_string_utf8(env, text.data(), text.size(), &result));
  return result;
}

namespace {

template <class Number>
napi_value make_array(napi_env env, napi_typedarray_type type, const Number* data, size_t count) {
  napi_value buffer, array;
  void* bytes;
  require_ok(env, napi_create_arraybuffer(env, count * sizeof(Number), &bytes, &buffer));
  if (count) std::char_traits<char>::copy(static_cast<char*>(bytes), reinterpret_cast<const char*>(data), count * sizeof(Number));
  require_ok(env, napi_create_typedarray(env, type, count, buffer, 0, &array));
  return array;
}

}  // namespace

napi_value make_floats(napi_env env, const float* data, size_t count) { return make_array(env, napi_float32_array, data, count); }
napi_value make_doubles(napi_env env, const double* data, size_t count) { return make_array(env, napi_float64_array, data, count); }

void set_property(napi_env env, napi_value object, const char* name, napi_value value) { require_ok(env, napi_set_named_property(env, object, name, value)); }

napi_value make_error(napi_env env, const std::string& message) {
  napi_value error;
  require_ok(env, napi_create_error(env, nullptr, make_text(env, message), &error));
  return error;
}

napi_value make_range_error(napi_env env, const std::string& message) {
  napi_value error;
  require_ok(env, napi_create_range_error(env, nullptr, make_text(env, message), &error));
  return error;
}

}  // namespace dropstream
