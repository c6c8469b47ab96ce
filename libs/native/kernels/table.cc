// This instruction set's kernels, in the one table that the virtual machine calls through.
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
    t.packed_floats = packed_floats;
    t.pack_rows = pack_rows;
    t.pack_columns = pack_columns;
    t.product = product;
    t.weight_grad_rows = kRowBlock;
    t.weight_grad_scratch = 256 * kRowBlock;
    t.weight_grad = weight_grad;
    t.attention_scratch = attention_scratch;
    t.attention = attention;
    t.attention_grad = attention_grad;
    t.layer_norm = layer_norm;
    t.layer_norm_grad = layer_norm_grad;
    t.cross_entropy = cross_entropy;
    t.dropout = dropout;
    t.dropout_factors = dropout_factors;
    t.gelu = gelu_forward;
    t.gelu_grad = gelu_grad;
    t.add = add;
    t.add_scaled = add_scaled;
    t.scale = scale;
    t.sum_samples = sum_samples;
    t.mean_tokens = mean_tokens;
    t.patches = patches;
    t.sum_squares = sum_squares;
    t.update = update;
    return t;
  }();
  return table;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
