// Arguments from JavaScript, checked in one place. A wrong argument throws ArgumentError, which becomes a TypeError.
#pragma once
#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "image.h"
#include "kernels.h"

namespace dropstream::pixels {

struct ArgumentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(napi_status status, const char* what) {
  if (status != napi_ok) throw ArgumentError(what);
}

struct Environment;

template <class T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
};

template <class T>
Span<T> typed_array(napi_env env, napi_value value, napi_typedarray_type expected, const char* what) {
  bool is = false;
  napi_typedarray_type type;
  void* data = nullptr;
  size_t length = 0;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is || napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != expected) {
    throw ArgumentError(what);
  }
  return {static_cast<T*>(data), length};
}

Bytes bytes_argument(napi_env env, napi_value value, const char* what);
// null gives no bytes.
Bytes optional_bytes(napi_env env, napi_value value, const char* what);
// A whole number from 0 to `high`.
uint32_t word_argument(napi_env env, napi_value value, double high, const char* what);
std::vector<napi_value> elements(napi_env env, napi_value array, const char* what);

constexpr size_t kMaxArguments = 7;

struct Arguments {
  napi_value value[kMaxArguments];
  Environment* environment;
  napi_value kept;  // a JavaScript array of all arguments
};

Arguments arguments_of(napi_env env, napi_callback_info info, size_t expected);

using Body = napi_value (*)(napi_env, napi_callback_info);

// Turns C++ exceptions into JavaScript errors.
template <Body body>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    pixel_kernels();  // reports a wrong DROPSTREAM_ISA here, before a thread fails on it
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
    return nullptr;
  }
  try {
    return body(env, info);
  } catch (const std::exception& error) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_type_error(env, nullptr, error.what());
  }
  return nullptr;
}

}  // namespace dropstream::pixels
