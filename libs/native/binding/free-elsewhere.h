// Frees what has gigabytes on a thread of its own: returning them to the operating system would hold up the event loop for tens of milliseconds.
#pragma once
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace dropstream {

// Must not need Node-API. The thread ends by itself; at the end of the process, the system takes the memory anyway.
template <class T>
void free_elsewhere(std::unique_ptr<T> owned) {
  if (!owned) return;
  try {
    std::thread([owned = std::move(owned)]() mutable { owned.reset(); }).detach();
  } catch (const std::system_error&) {
    // No thread could be started: the function that it was given has freed it on this one.
  }
}

}  // namespace dropstream
