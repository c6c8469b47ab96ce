// The gradients of a step's leaves and their sums. A fixed binary tree over the leaves says in which order they are added, so that the bits do
// not depend on who computed which leaf, nor when: [first, first + n) is the sum of its left part, the largest power of two below n leaves, and
// of the rest; one leaf is itself. Two parts are added as soon as both are there, which takes at most log2(leaves) + 1 buffers where leaves
// come in order. libs/engine/gradient-tree.ts has the same tree.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "vm/memory.h"

namespace dropstream {

constexpr uint32_t kMostLeaves = 16;

// A node of the tree: the leaves from `first` on.
struct Subtree {
  uint32_t first = 0, leaves = 1;
  bool operator==(const Subtree& other) const { return first == other.first && leaves == other.leaves; }
};

// Finds the node that `node` is added to, in a tree over `leaves`. False: it is the root. Throws std::invalid_argument: it is no node.
bool find_sibling(uint32_t leaves, Subtree node, Subtree* sibling);

class GradientSums {
 public:
  // Buffers hold so many floats and are kept once taken; `count` of them are taken now. Throw std::bad_alloc.
  void start(size_t floats, size_t count);
  size_t buffers() const { return buffers_.size(); }
  size_t floats() const { return floats_; }

  // Memory for a node whose leaves are not there yet. It counts for nothing until put. Throws std::invalid_argument.
  float* take(uint32_t leaves, Subtree node);
  // The node is filled. add(sum, other): sum += other, for all floats.
  template <class Add>
  void put(Subtree node, Add add);

  // A node that is there and not yet part of a larger one; the sum of all leaves. Throw std::invalid_argument where it is not there.
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
