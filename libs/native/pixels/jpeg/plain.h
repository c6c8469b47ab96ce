// The plain JPEG: baseline Huffman, one interleaved scan, gray or Y'CbCr with chroma subsampled at most 2 to 1 each way, and nothing
// wrong with it. Such files, nearly all there are, are decoded here, and only where a window needs it: blocks outside are stepped over
// without their coefficients, rows below are not looked at. The pixels are those of libjpeg-turbo's accurate integer DCT and fancy upsampling,
// byte for byte; whatever is not plain, or not certain to come out the same (damage, extreme coefficients), is left to libjpeg-turbo.
#pragma once
#include <cstdint>
#include <vector>

#include "image.h"
#include "jpeg/scan.h"

namespace dropstream::pixels {

// Fills the table from `counts` of codes by length and `symbols`; false where it is not a code that a plain file uses.
bool make_huffman_table(const uint8_t* counts, const uint8_t* symbols, int symbol_count, bool for_dc, HuffmanTable& table);

// The scan without stuffing, in parts between restart markers.
struct PlainScan {
  std::vector<uint8_t> bytes;  // followed by kScanSlack zeros
  std::vector<size_t> ends;    // of each part
};
constexpr size_t kScanSlack = 8192;

struct PlainScratch {
  HuffmanTable dc[4], ac[4];
  PlainJpeg jpeg;
  PlainScan scan;
  std::vector<uint8_t> samples, rows;
  // Gives back what is larger than `max` bytes.
  void trim(size_t max);
};

// True where the headers are a plain JPEG's; the tables are then made. Reads no further than the start of the scan.
bool read_plain_headers(Bytes file, PlainScratch& scratch);
// True where the scan ends as it should.
bool read_plain_scan(PlainScratch& scratch);

// Decodes the window into `out`. False: not plain, nothing was decided. Throws what `choose` throws.
bool decode_plain_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, PlainScratch& scratch);

}  // namespace dropstream::pixels
