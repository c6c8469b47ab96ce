// What a mesh executes: transfers and sums in one order, decided elsewhere (libs/collectives/mesh-program.ts). The executor decides nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dropstream {

// A part of one of the program's arrays; `array` is the index of an argument, or the number of arguments for scratch memory.
struct Place {
  size_t array = 0, offset = 0;
};

struct Instruction {
  enum class Kind { receive, send, wait, add, copy };
  Kind kind;
  Place into;           // receive, send, add, copy: `count` floats from here
  size_t count = 0;     //
  int peer = 0;         // receive, send
  uint32_t tag = 0;     // receive, send
  size_t transfer = 0;  // wait: which one, counted in the order of receives and sends
  Place left, right;    // add: into = left + right; copy: into = left
};

struct MeshProgram {
  std::vector<Instruction> instructions;
  size_t transfers = 0;
  size_t scratch = 0;  // floats
  bool flush_subnormals = true;
};

// Reads the form of mesh-program.ts, eight numbers for each instruction, and checks every one of them against the sizes of the arrays. Throws
// std::invalid_argument.
MeshProgram read_mesh_program(const std::vector<double>& code, const std::vector<size_t>& sizes, size_t scratch, bool flush_subnormals, int rank, int size);

}  // namespace dropstream
