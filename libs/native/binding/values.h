// Conversion of JavaScript values to plain C++ values. Every function throws BadValue and names the field (its path in the argument), or
// throws PendingException if JavaScript already has an exception. `guarded` turns both into a JavaScript error at the boundary.
#pragma once
#include <node_api.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace dropstream {

struct BadValue : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct PendingException {};

// Throws PendingException or std::runtime_error unless status is napi_ok.
void require_ok(napi_env env, napi_status status);

class Field {
 public:
  Field(napi_env env, napi_value value, std::string path) : env_(env), value_(value), path_(std::move(path)) {}

  napi_env env() const { return env_; }
  napi_value value() const { return value_; }
  const std::string& path() const { return path_; }

  bool present() const;                      // neither undefined nor null
  Field operator[](const char* name) const;  // property of an object
  Field at(uint32_t index) const;            // element of an array
  uint32_t length() const;                   // of an array
  double number() const;
  uint64_t whole(uint64_t max) const;  // a whole number from 0 to max
  std::string text() const;
  uint64_t bits64() const;                 // a bigint, modulo 2^64
  std::vector<std::string> names() const;  // own enumerable keys
  // The elements of a typed array of exactly this type. The pointer is valid while the array is referenced and not transferred.
  float* floats(size_t* count) const;
  uint8_t* bytes(size_t* count) const;
  std::vector<double> doubles() const;  // a copy of a Float64Array

  [[noreturn]] void refuse(const std::string& must) const;

 private:
  void* typed(napi_typedarray_type type, const char* name, size_t* count) const;
  napi_env env_;
  napi_value value_;
  std::string path_;
};

napi_value make_number(napi_env env, double value);
napi_value make_text(napi_env env, const std::string& text);
napi_value make_floats(napi_env env, const float* data, size_t count);
napi_value make_doubles(napi_env env, const double* data, size_t count);
void set_property(napi_env env, napi_value object, const char* name, napi_value value);
napi_value make_error(napi_env env, const std::string& message);
napi_value make_range_error(napi_env env, const std::string& message);

// Runs body() → napi_value. C++ exceptions become a pending JavaScript exception (TypeError for BadValue, RangeError for
// std::invalid_argument).
template <class Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const PendingException&) {
  } catch (const BadValue& error) {
    napi_throw_type_error(env, nullptr, error.what());
  } catch (const std::invalid_argument& error) {
    napi_throw_range_error(env, nullptr, error.what());
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, "ERR_MEMORY", "not enough memory for the program");
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return nullptr;
}

}  // namespace dropstream
