// Collects the kernels of this instruction set in the table through which the virtual machine calls them.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#define DS_TEXT_OF(x) #x
#define DS_TEXT(x) DS_TEXT_OF(x)

const KernelTable& kernel_table() {
  static const KernelTable table = [] {
    KernelTable t{};
    t.isa = DS_TEXT(DROPSTREAM_ISA);
    t.panel_width = kPanelWidth;
    t.lanes = kLanes;
    t.product_rows = 6;
    t.weight_grad_rows = kRowBlock;
    t.weight_grad_scratch = kWeightGradScratch;
#define FUNCTION(result, name, parameters) t.name = name;
#include "kernels/functions.def"
    return t;
  }();
  return table;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
