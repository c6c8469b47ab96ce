#include "binding/call.h"

#include "binding/arguments.h"

namespace dropstream::pixels {

napi_value Call::start(Environment& environment, std::unique_ptr<Call> owned, napi_value keep_alive) {
  const napi_env env = environment.env;
  const std::shared_ptr<Call> call(std::move(owned));
  napi_value promise;
  check(napi_create_reference(env, keep_alive, 1, &call->keep_alive_), "Node-API could not keep the arguments");
  if (napi_create_promise(env, &call->deferred_, &promise) != napi_ok) {
    napi_delete_reference(env, call->keep_alive_);
    throw ArgumentError("Node-API could not make a promise");
  }
  if (environment.in_flight++ == 0) napi_ref_threadsafe_function(env, environment.settle);
  call->self_ = call;
  if (call->reasons_.empty()) {
    call->settle(env);
  } else {
    try {
      environment.pool->submit(call);
    } catch (const std::exception&) {  // no thread could be started
      for (std::string& reason : call->reasons_) reason = "no thread";
      call->settle(env);
    }
  }
  return promise;
}

void Call::settle(napi_env env) {
  const std::shared_ptr<Call> last = std::move(self_);
  if (env == nullptr) return;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value result;
  napi_create_array_with_length(env, reasons_.size(), &result);
  for (size_t i = 0; i < reasons_.size(); i++) {
    napi_value reason;
    if (reasons_[i].empty()) {
      napi_get_null(env, &reason);
    } else {
      napi_create_string_utf8(env, reasons_[i].data(), reasons_[i].size(), &reason);
    }
    napi_set_element(env, result, static_cast<uint32_t>(i), reason);
  }
  napi_resolve_deferred(env, deferred_, result);
  napi_delete_reference(env, keep_alive_);
  if (--environment_.in_flight == 0) napi_unref_threadsafe_function(env, environment_.settle);
  napi_close_handle_scope(env, scope);
}

}  // namespace dropstream::pixels
