// Stands in for a header that Debian's package lacks, although headers that are there include it. Nothing here uses these classes; their size decides where
// members of Gloo's classes are.
#pragma once
#include <memory>

namespace gloo {

template <class T>
class NonOwningPtr {
  std::shared_ptr<T> pointer_;
};

template <class T>
class WeakNonOwningPtr {
  std::weak_ptr<T> pointer_;
};

}  // namespace gloo
