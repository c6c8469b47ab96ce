// Gloo's own all-reduce, to compare the exchange with (test/bench/exchange.ts): one member as a process.
//
//   dropstream_gloo_all_reduce RANK SIZE FLOATS FOLDER
//
// Connects through files in FOLDER. For each line of its input, a number of rounds, it prints the milliseconds of each round, which all members begin
// together.
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <vector>

int main(int count, char** arguments) {
  if (count != 5) {
    fprintf(stderr, "dropstream_gloo_all_reduce RANK SIZE FLOATS FOLDER\n");
    return 2;
  }
  const int rank = atoi(arguments[1]), size = atoi(arguments[2]);
  const auto floats = static_cast<size_t>(atoll(arguments[3]));
  gloo::transport::tcp::attr attributes;
  attributes.hostname = "127.0.0.1";
  std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(attributes);
  gloo::rendezvous::FileStore store(arguments[4]);
  const auto context = std::make_shared<gloo::rendezvous::Context>(rank, size);
  context->connectFullMesh(store, device);
  std::vector<float> values(floats, static_cast<float>(rank + 1));
  for (int rounds = 0; std::cin >> rounds;) {
    for (int round = 0; round < rounds; round++) {
      gloo::BarrierOptions barrier(context);
      gloo::barrier(barrier);
      const auto began = std::chrono::steady_clock::now();
      gloo::AllreduceOptions options(context);
      options.setOutput(values.data(), values.size());
      options.setReduceFunction(static_cast<void (*)(void*, const void*, const void*, size_t)>(&gloo::sum<float>));
      gloo::allreduce(options);
      printf("%.3f ", std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    }
    printf("\n");
    fflush(stdout);
  }
  return 0;
}
