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
    t.packed_left_floats = packed_left_floats;
    t.pack_left = pack_left;
    t.product = product;
    t.product_rows = 6;
    t.weight_grad_rows = kRowBlock;
    t.weight_grad_scratch = kWeightGradScratch;
    t.weight_grad = weight_grad;
    t.attention_scratch = attention_scratch;
    t.attention_grad_scratch = attention_grad_scratch;
    t.attention = attention;
    t.attention_grad = attention_grad;
    t.window_stride = window_stride;
    t.window_bias = window_bias;
    t.window_scratch = window_scratch;
    t.window_grad_scratch = window_grad_scratch;
    t.window_attention = window_attention;
    t.window_attention_grad = window_attention_grad;
    t.depthwise_conv = depthwise_conv;
    t.depthwise_weight_grad = depthwise_weight_grad;
    t.depthwise_weight_sum = depthwise_weight_sum;
    t.transpose = transpose;
    t.merge_patches = merge_patches;
    t.merge_patches_grad = merge_patches_grad;
    t.layer_scale = layer_scale;
    t.layer_scale_grad = layer_scale_grad;
    t.layer_norm = layer_norm;
    t.layer_norm_grad = layer_norm_grad;
    t.cross_entropy = cross_entropy;
    t.dropout = dropout;
    t.gelu = gelu_forward;
    t.gelu_grad = gelu_grad;
    t.add = add;
    t.multiply = multiply;
    t.add_scaled = add_scaled;
    t.scale = scale;
    t.copy = copy;
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
