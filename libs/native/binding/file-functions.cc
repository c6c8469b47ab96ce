#include "binding/file-functions.h"

#include <cerrno>
#include <memory>

#include "binding/values.h"
#include "files/read-file.h"

namespace dropstream {

namespace {

// One job on a thread of libuv's pool, where waiting for a disk delays no computation. It owns itself until it has settled its promise.
struct ReadJob {
  std::vector<FileRequest> files;
  std::vector<std::string> folders;
  std::vector<FileOutcome> outcomes;
  const volatile uint8_t* cancel;
  napi_async_work work = nullptr;
  napi_deferred promise = nullptr;
  napi_ref kept = nullptr;  // keeps memory and cancel alive
};

void execute(napi_env, void* data) {
  auto& job = *static_cast<ReadJob*>(data);
  for (size_t i = 0; i < job.files.size(); i++) {
    if (*job.cancel != 0) {
      job.outcomes[i] = {ECANCELED, 0};
      continue;
    }
    try {
      job.outcomes[i] = read_file(job.files[i], job.folders);
    } catch (const std::bad_alloc&) {
      job.outcomes[i] = {ENOMEM, 0};
    }
  }
}

void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<ReadJob> job(static_cast<ReadJob*>(data));
  guarded(env, [&]() -> napi_value {
    std::vector<double> values;
    for (const FileOutcome& outcome : job->outcomes) values.insert(values.end(), {(double)outcome.status, (double)outcome.found});
    require_ok(env, napi_resolve_deferred(env, job->promise, make_doubles(env, values.data(), values.size())));
    return nullptr;
  });
  napi_delete_reference(env, job->kept);
  napi_delete_async_work(env, job->work);
}

std::vector<std::string> texts(const Field& field) {
  std::vector<std::string> all(field.length());
  for (uint32_t i = 0; i < all.size(); i++) all[i] = field.at(i).text();
  return all;
}

napi_value read_files(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value args[5];
    size_t count = 5;
    require_ok(env, napi_get_cb_info(env, info, &count, args, nullptr, nullptr));
    auto job = std::make_unique<ReadJob>();
    const std::vector<std::string> paths = texts({env, args[0], "paths"});
    const Field sizes(env, args[1], "sizes"), memory(env, args[3], "memory"), cancel(env, args[4], "cancel");
    job->folders = texts({env, args[2], "folders"});
    const std::vector<double> bytes = sizes.doubles();
    if (bytes.size() != paths.size()) sizes.refuse("an array with one size per path");
    size_t space, flags;
    uint8_t* out = memory.bytes(&space);
    job->cancel = cancel.bytes(&flags);
    if (flags < 1) cancel.refuse("an array of at least one byte");
    for (size_t i = 0; i < paths.size(); i++) {
      if (!(bytes[i] >= 0 && bytes[i] <= (double)space)) memory.refuse("large enough for the files");
      const auto size = static_cast<uint64_t>(bytes[i]);
      job->files.push_back({paths[i], size, out});
      out += size;
      space -= size;
    }
    job->outcomes.resize(paths.size(), {ECANCELED, 0});

    napi_value promise, name, kept;
    require_ok(env, napi_create_array_with_length(env, 2, &kept));
    require_ok(env, napi_set_element(env, kept, 0, memory.value()));
    require_ok(env, napi_set_element(env, kept, 1, cancel.value()));
    require_ok(env, napi_create_string_utf8(env, "dropstream.files", NAPI_AUTO_LENGTH, &name));
    require_ok(env, napi_create_async_work(env, nullptr, name, execute, complete, job.get(), &job->work));
    require_ok(env, napi_create_reference(env, kept, 1, &job->kept));
    require_ok(env, napi_create_promise(env, &job->promise, &promise));
    require_ok(env, napi_queue_async_work(env, job->work));
    (void)job.release();  // complete deletes it
    return promise;
  });
}

}  // namespace

void register_files(napi_env env, napi_value exports) {
  napi_value function;
  require_ok(env, napi_create_function(env, "readFiles", NAPI_AUTO_LENGTH, read_files, nullptr, &function));
  set_property(env, exports, "readFiles", function);
}

}  // namespace dropstream
