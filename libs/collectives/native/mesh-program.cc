#include "mesh-program.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace dropstream {

namespace {

constexpr size_t kNumbers = 8;
constexpr double kMostTag = 2147483647;

class Reader {
 public:
  Reader(const std::vector<double>& code, const std::vector<size_t>& sizes, size_t scratch, int rank, int size)
      : code_(code), sizes_(sizes), scratch_(scratch), rank_(rank), size_(size) {}

  Instruction read(size_t index, MeshProgram& program, std::vector<bool>& waited) {
    at_ = index;
    Instruction one{};
    switch (static_cast<int>(number(0, 4, "the kind"))) {
      case 0:
        one.kind = Instruction::Kind::receive;
        transfer(one, program, waited);
        break;
      case 1:
        one.kind = Instruction::Kind::send;
        transfer(one, program, waited);
        break;
      case 2:
        one.kind = Instruction::Kind::wait;
        if (program.transfers == 0) refuse("waits for no transfer");
        one.transfer = static_cast<size_t>(number(1, static_cast<double>(program.transfers - 1), "the transfer"));
        if (waited[one.transfer]) refuse("waits for a transfer again");
        waited[one.transfer] = true;
        break;
      case 3:
        one.kind = Instruction::Kind::add;
        place(one);
        one.left = part(4, one.count);
        one.right = part(6, one.count);
        break;
      default:
        one.kind = Instruction::Kind::copy;
        place(one);
        one.left = part(4, one.count);
    }
    return one;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw std::invalid_argument("instruction " + std::to_string(at_) + " of a mesh program " + what); }

  double number(size_t position, double most, const char* what) const {
    const double value = code_[at_ * kNumbers + position];
    if (!(value >= 0 && value <= most) || value != std::floor(value)) refuse(std::string("has a wrong number for ") + what);
    return value;
  }

  Place part(size_t position, size_t count) const {
    Place place;
    place.array = static_cast<size_t>(number(position, static_cast<double>(sizes_.size()), "an array"));
    const size_t floats = place.array < sizes_.size() ? sizes_[place.array] : scratch_;
    place.offset = static_cast<size_t>(number(position + 1, static_cast<double>(floats), "an offset"));
    if (count > floats - place.offset) refuse("exceeds an array");
    return place;
  }

  void place(Instruction& one) const {
    one.count = static_cast<size_t>(number(3, 4294967295.0, "a count"));
    if (one.count == 0) refuse("has nothing to do");
    one.into = part(1, one.count);
  }

  void transfer(Instruction& one, MeshProgram& program, std::vector<bool>& waited) const {
    place(one);
    one.peer = static_cast<int>(number(4, size_ - 1, "a rank"));
    if (one.peer == rank_) refuse("transfers to itself");
    one.tag = static_cast<uint32_t>(number(5, kMostTag, "a tag"));
    program.transfers++;
    waited.push_back(false);
  }

  const std::vector<double>& code_;
  const std::vector<size_t>& sizes_;
  const size_t scratch_;
  const int rank_, size_;
  size_t at_ = 0;
};

}  // namespace

MeshProgram read_mesh_program(const std::vector<double>& code, const std::vector<size_t>& sizes, size_t scratch, bool flush_subnormals, int rank, int size) {
  if (code.size() % kNumbers != 0) throw std::invalid_argument("a mesh program must have eight numbers for each instruction");
  MeshProgram program;
  program.scratch = scratch;
  program.flush_subnormals = flush_subnormals;
  program.instructions.reserve(code.size() / kNumbers);
  std::vector<bool> waited;
  Reader reader(code, sizes, scratch, rank, size);
  for (size_t index = 0; index < code.size() / kNumbers; index++) program.instructions.push_back(reader.read(index, program, waited));
  return program;
}

}  // namespace dropstream
