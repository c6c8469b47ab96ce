// The gradients of a step's leaves and their sums. A fixed binary tree over the leaves defines the order of additions, so that the bits do
// not depend on who computed which leaf, nor when. The sum of leaves [first, first + n) is the sum of its left part (as many leaves as the
// largest power of two below n) plus the sum of the rest. Two parts are added as soon as both are present, which takes at most log2(leaves)
// + 1 buffers if leaves arrive in order. libs/engine/gradient-tree.ts defines the same tree.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "vm/memory.h"

namespace dropstream {

constexpr uint32_t kMaxLeaves = 16;

// A node of the tree: `leaves` leaves from `first` on.
struct Subtree {
  uint32_t first = 0, leaves = 1;
  bool operator==(const Subtree& other) const { return first == other.first && leaves == other.leaves; }
};

// Finds the node that `node` is added to, in a tree over `leaves` leaves. Returns false for the root. Throws std::invalid_argument if
// `node` is not in the tree.
bool find_sibling(uint32_t leaves, Subtree node, Subtree* sibling);

class GradientSums {
 public:
  // Sets the number of floats per buffer and allocates `count` buffers, which are kept and reused. Throws std::bad_alloc.
  void start(size_t floats, size_t count);
  size_t buffers() const { return buffers_.size(); }
  size_t floats() const { return floats_; }

  // Memory for a node of which no leaf is present yet. The node is present only after put(). Throws std::invalid_argument, also
  // std::bad_alloc.
  float* take(uint32_t leaves, Subtree node);
  // Declares the memory of take() to be filled. add(sum, other) must do sum += other for all floats.
  template <class Add>
  void put(Subtree node, Add add);

  // The sum of a node that is present and not yet part of a larger one; the sum of all leaves. Both throw std::invalid_argument if it is
  // not present.
  float* find(Subtree node) const;
  float* whole() const;
  void clear() {
    held_.clear();
    taken_ = nullptr;
  }

 private:
  struct Held {
    Subtree node;
    float* sum;
  };
  Held* held(Subtree node);

  size_t floats_ = 0;
  uint32_t leaves_ = 0;
  std::vector<Memory> buffers_;
  std::vector<Held> held_;
  float* taken_ = nullptr;
};

template <class Add>
void GradientSums::put(Subtree node, Add add) {
  held_.push_back({node, taken_});
  taken_ = nullptr;
  for (Subtree sibling; find_sibling(leaves_, node, &sibling);) {
    Held* other = held(sibling);
    if (!other) break;
    const bool left = node.first < sibling.first;
    Held& mine = *held(node);
    add(left ? mine.sum : other->sum, left ? other->sum : mine.sum);
    const Held sum{{left ? node.first : sibling.first, node.leaves + sibling.leaves}, left ? mine.sum : other->sum};
    *other = sum;
    held_.erase(held_.begin() + (held(node) - held_.data()));
    node = sum.node;
  }
}

}  // namespace dropstream
