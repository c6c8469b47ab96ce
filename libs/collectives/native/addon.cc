// The addon's functions. libs/collectives/addon.ts declares them.
#include <gloo/config.h>
#include <node_api.h>

#include <cstring>
#include <string>
#include <utility>

#include "binding/values.h"
#include "jobs.h"

namespace dropstream {

namespace {

constexpr napi_type_tag kTag = {0x64726f7073747265ull, 0x616d2d2d6d657368ull};
constexpr uint64_t kMostMembers = 4096;
constexpr uint64_t kMostMilliseconds = 1ull << 31;
constexpr uint64_t kMostFloats = 1ull << 40;

struct Arguments {
  napi_value values[5];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = 5;
    require_ok(env, napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  }
};

// The handle owns a mesh together with the calls that use it.
using Owned = std::shared_ptr<Mesh>;

void collected(napi_env env, void* data, void*) {
  std::unique_ptr<Owned> owned(static_cast<Owned*>(data));
  const Owned mesh = *owned;
  void* instance = nullptr;
  if (napi_get_instance_data(env, &instance) != napi_ok || instance == nullptr) return;
  auto& jobs = *static_cast<Jobs*>(instance);
  jobs.remove(mesh);
  mesh->abort();
  try {
    jobs.start_unwatched([mesh] { mesh->close(); });
  } catch (const std::exception&) {
    // Without a thread, it is closed on this one when the last reference goes.
  }
}

const Owned& mesh_of(napi_env env, napi_value handle) {
  bool tagged = false;
  if (napi_check_object_type_tag(env, handle, &kTag, &tagged) != napi_ok || !tagged) throw BadValue("mesh must be a handle from meshCreate");
  void* data;
  require_ok(env, napi_unwrap(env, handle, &data));
  return *static_cast<Owned*>(data);
}

napi_value create(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const uint64_t size = Field(env, args.values[1], "size").whole(kMostMembers);
    if (size == 0) Field(env, args.values[1], "size").refuse("at least 1");
    const uint64_t rank = Field(env, args.values[0], "rank").whole(size - 1);
    const std::chrono::milliseconds connect(Field(env, args.values[2], "connectTimeoutMs").whole(kMostMilliseconds));
    const std::chrono::milliseconds transfer(Field(env, args.values[3], "transferTimeoutMs").whole(kMostMilliseconds));
    auto owned = std::make_unique<Owned>(std::make_shared<Mesh>(static_cast<int>(rank), static_cast<int>(size), connect, transfer));
    napi_value handle;
    require_ok(env, napi_create_object(env, &handle));
    require_ok(env, napi_type_tag_object(env, handle, &kTag));
    require_ok(env, napi_wrap(env, handle, owned.get(), collected, nullptr, nullptr));
    Jobs::of(env).add(*owned.release());
    return handle;
  });
}

napi_value make_bytes(napi_env env, const std::vector<char>& bytes) {
  napi_value buffer, array;
  void* data;
  require_ok(env, napi_create_arraybuffer(env, bytes.size(), &data, &buffer));
  if (!bytes.empty()) memcpy(data, bytes.data(), bytes.size());
  require_ok(env, napi_create_typedarray(env, napi_uint8_array, bytes.size(), buffer, 0, &array));
  return array;
}

napi_value open(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Owned mesh = mesh_of(env, args.values[0]);
    const auto addresses = std::make_shared<std::vector<std::vector<char>>>();
    return Jobs::of(env).start(
        env, {}, [mesh, addresses, host = Field(env, args.values[1], "host").text()] { *addresses = mesh->open(host); },
        [addresses](napi_env env) {
          napi_value list;
          require_ok(env, napi_create_array_with_length(env, addresses->size(), &list));
          for (size_t i = 0; i < addresses->size(); i++)
            require_ok(env, napi_set_element(env, list, static_cast<uint32_t>(i), make_bytes(env, (*addresses)[i])));
          return list;
        });
  });
}

napi_value connect(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Owned mesh = mesh_of(env, args.values[0]);
    const Field list(env, args.values[1], "addresses");
    if (list.length() != static_cast<uint32_t>(mesh->size())) list.refuse("an array with one address for each rank");
    std::vector<std::vector<char>> addresses;
    for (uint32_t i = 0; i < list.length(); i++) {
      size_t count = 0;
      const uint8_t* bytes = list.at(i).bytes(&count);
      addresses.emplace_back(bytes, bytes + count);
    }
    return Jobs::of(env).start(env, {}, [mesh, addresses = std::move(addresses)] { mesh->connect(addresses); });
  });
}

napi_value run(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Owned mesh = mesh_of(env, args.values[0]);
    const Field list(env, args.values[4], "arrays");
    std::vector<float*> arrays;
    std::vector<size_t> sizes;
    std::vector<napi_value> held;
    for (uint32_t i = 0, n = list.length(); i < n; i++) {
      const Field array = list.at(i);
      size_t count = 0;
      arrays.push_back(array.floats(&count));
      sizes.push_back(count);
      held.push_back(array.value());
    }
    const size_t scratch = Field(env, args.values[2], "scratch").whole(kMostFloats);
    bool flush;
    if (napi_get_value_bool(env, args.values[3], &flush) != napi_ok) throw BadValue("flushSubnormals must be a boolean");
    auto program =
        std::make_shared<MeshProgram>(read_mesh_program(Field(env, args.values[1], "code").doubles(), sizes, scratch, flush, mesh->rank(), mesh->size()));
    return Jobs::of(env).start(env, std::move(held), [mesh, program, arrays = std::move(arrays)] { mesh->run(*program, arrays); });
  });
}

napi_value abort(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Owned mesh = mesh_of(env, args.values[0]);
    mesh->abort();
    try {
      Jobs::of(env).start_unwatched([mesh] { mesh->reset_connections(); });
    } catch (const std::exception&) {
      // Without a thread, the connections stay until the mesh is closed.
    }
    return nullptr;
  });
}

napi_value close(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Owned mesh = mesh_of(env, args.values[0]);
    Jobs& jobs = Jobs::of(env);
    mesh->abort();
    const napi_value promise = jobs.start(env, {}, [mesh] { mesh->close(); });
    jobs.remove(mesh);
    return promise;
  });
}

napi_value version(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    return make_text(env, std::to_string(GLOO_VERSION_MAJOR) + "." + std::to_string(GLOO_VERSION_MINOR) + "." + std::to_string(GLOO_VERSION_PATCH));
  });
}

}  // namespace

}  // namespace dropstream

NAPI_MODULE_INIT() {
  using namespace dropstream;
  return guarded(env, [&]() -> napi_value {
    Jobs::attach(env);
    const std::pair<const char*, napi_callback> functions[] = {
        {"meshCreate", create}, {"meshOpen", open},   {"meshConnect", connect}, {"meshRun", run},
        {"meshAbort", abort},   {"meshClose", close}, {"glooVersion", version},
    };
    for (const auto& [name, callback] : functions) {
      napi_value function;
      require_ok(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function));
      set_property(env, exports, name, function);
    }
    return exports;
  });
}
