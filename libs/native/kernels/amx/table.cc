// The kernel table of DROPSTREAM_BASE, but with products of bf16 in tiles.
#include "kernels/amx/grad-strips.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
const KernelTable& kernel_table();
}
namespace DROPSTREAM_ISA {

// weight_grad passes products of fp32, and their scratch, on to the base's.
static_assert(kGradScratch >= kWeightGradScratch, "one scratch serves both types");

#define DS_TEXT_OF(x) #x
#define DS_TEXT(x) DS_TEXT_OF(x)

const KernelTable& kernel_table() {
  static const KernelTable table = [] {
    KernelTable t = DROPSTREAM_BASE::kernel_table();
    t.isa = DS_TEXT(DROPSTREAM_ISA);
    t.weight_grad_packs_both = true;
    t.product = product;
    t.product_rows = kTileBlock;
    t.weight_grad_rows = kGradJobRows;
    t.weight_grad_scratch = kGradScratch;
    t.weight_grad = weight_grad;
    t.attention = attention;
    t.attention_scratch = attention_scratch;
    t.attention_grad = attention_grad;
    t.attention_grad_scratch = attention_grad_scratch;
    t.window_stride = window_stride;
    t.window_bias = window_bias;
    t.window_attention = window_attention;
    t.window_scratch = window_scratch;
    t.window_attention_grad = window_attention_grad;
    t.window_grad_scratch = window_grad_scratch;
    return t;
  }();
  return table;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
