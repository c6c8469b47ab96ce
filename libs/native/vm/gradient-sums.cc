#include "vm/gradient-sums.h"

#include <stdexcept>
#include <string>

namespace dropstream {

namespace {

std::string text(uint32_t n) { return std::to_string(n); }
std::string name_of(Subtree node) {
  return node.leaves == 1 ? "leaf " + text(node.first) : "leaves " + text(node.first) + " to " + text(node.first + node.leaves - 1);
}

// The number of leaves in the left part of n > 1 leaves.
uint32_t left_part(uint32_t n) {
  uint32_t part = 1;
  while (2 * part < n) part *= 2;
  return part;
}

}  // namespace

bool find_sibling(uint32_t leaves, Subtree node, Subtree* sibling) {
  for (Subtree at{0, leaves}; !(at == node);) {
    if (at.leaves <= node.leaves || node.first < at.first || node.first >= at.first + at.leaves)
      throw std::invalid_argument("the tree of " + text(leaves) + " leaves has no sum of " + name_of(node));
    const uint32_t part = left_part(at.leaves);
    const Subtree left{at.first, part}, right{at.first + part, at.leaves - part};
    const bool is_left = node.first < right.first;
    at = is_left ? left : right;
    *sibling = is_left ? right : left;
  }
  return node.leaves < leaves;
}

void GradientSums::start(size_t floats, size_t count) {
  floats_ = floats;
  buffers_.reserve(kMaxLeaves + 1);
  held_.reserve(kMaxLeaves + 1);
  while (buffers_.size() < count) buffers_.emplace_back(floats_ * sizeof(float));
}

float* GradientSums::take(uint32_t leaves, Subtree node) {
  if (leaves < 1 || leaves > kMaxLeaves) throw std::invalid_argument("leaves is " + text(leaves) + ", must be from 1 to " + text(kMaxLeaves));
  if (!held_.empty() && leaves != leaves_) throw std::invalid_argument("leaves is " + text(leaves) + ", the step has " + text(leaves_));
  Subtree sibling;
  find_sibling(leaves, node, &sibling);
  for (const Held& held : held_)
    if (node.first < held.node.first + held.node.leaves && held.node.first < node.first + node.leaves)
      throw std::invalid_argument("the step has " + name_of(held.node) + " already");
  leaves_ = leaves;
  for (size_t i = 0;; i++) {
    if (i == buffers_.size()) buffers_.emplace_back(floats_ * sizeof(float));
    float* const memory = buffers_[i].floats();
    bool free = true;
    for (const Held& held : held_) free = free && held.sum != memory;
    if (free) return taken_ = memory;
  }
}

GradientSums::Held* GradientSums::held(Subtree node) {
  for (Held& held : held_)
    if (held.node == node) return &held;
  return nullptr;
}

float* GradientSums::find(Subtree node) const {
  for (const Held& held : held_)
    if (held.node == node) return held.sum;
  throw std::invalid_argument("there is no sum of " + name_of(node) + " alone");
}

float* GradientSums::whole() const {
  if (held_.empty()) throw std::invalid_argument("there are no gradients: no leaf of a step has been accumulated");
  if (held_.size() == 1 && held_[0].node == Subtree{0, leaves_}) return held_[0].sum;
  for (uint32_t leaf = 0;; leaf++) {
    bool found = false;
    for (const Held& held : held_) found = found || (leaf >= held.node.first && leaf < held.node.first + held.node.leaves);
    if (!found) throw std::invalid_argument("leaf " + text(leaf) + " of " + text(leaves_) + " is missing from the step");
  }
}

}  // namespace dropstream
