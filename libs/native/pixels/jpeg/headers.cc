#include <cstring>

#include "jpeg/plain.h"

namespace dropstream::pixels {
namespace {

// The position, row by row, of the k-th coefficient in zigzag order.
constexpr uint8_t kNatural[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                  41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                  30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

int word_at(const uint8_t* at) { return at[0] << 8 | at[1]; }

// One segment's contents.
struct Segment {
  const uint8_t* at;
  int size;
};

bool read_quant_tables(Segment s, PlainJpeg& jpeg) {
  while (s.size > 0) {
    const int precision = s.at[0] >> 4, number = s.at[0] & 15;
    if (precision != 0 || number > 3 || s.size < 65) return false;
    for (int k = 0; k < 64; k++) {
      jpeg.quant[number][kNatural[k]] = s.at[1 + k];
      if (s.at[1 + k] == 0) return false;
    }
    jpeg.has_quant[number] = true;
    s = {s.at + 65, s.size - 65};
  }
  return true;
}

bool read_huffman_tables(Segment s, PlainScratch& scratch) {
  while (s.size > 0) {
    if (s.size < 17) return false;
    const int kind = s.at[0] >> 4, number = s.at[0] & 15;
    int count = 0;
    for (int i = 1; i <= 16; i++) count += s.at[i];
    if (kind > 1 || number > 3 || count > 256 || s.size < 17 + count) return false;
    HuffmanTable& table = kind == 0 ? scratch.dc[number] : scratch.ac[number];
    // Most files share a few definitions, so a table that is still present is not built again.
    const bool same = table.for_dc == (kind == 0) && std::memcmp(table.definition, s.at + 1, static_cast<size_t>(16 + count)) == 0;
    if (!same && !make_huffman_table(s.at + 1, s.at + 17, count, kind == 0, table)) return false;
    table.defined = true;
    s = {s.at + 17 + count, s.size - 17 - count};
  }
  return true;
}

bool read_frame(Segment s, PlainJpeg& jpeg) {
  if (jpeg.components != 0 || s.size < 6 || s.at[0] != 8) return false;
  jpeg.height = word_at(s.at + 1);
  jpeg.width = word_at(s.at + 3);
  jpeg.components = s.at[5];
  if (jpeg.height < 1 || jpeg.width < 1 || (jpeg.components != 1 && jpeg.components != 3) || s.size != 6 + 3 * jpeg.components) return false;
  for (int c = 0; c < jpeg.components; c++) {
    PlainComponent& component = jpeg.component[c];
    component.id = s.at[6 + 3 * c];
    component.h = s.at[7 + 3 * c] >> 4;
    component.v = s.at[7 + 3 * c] & 15;
    component.quant = s.at[8 + 3 * c];
    if (component.quant > 3 || component.h < 1 || component.v < 1 || component.h > 4 || component.v > 4) return false;
  }
  return true;
}

bool read_scan_header(Segment s, PlainJpeg& jpeg) {
  if (jpeg.components == 0 || s.size != 4 + 2 * jpeg.components || s.at[0] != jpeg.components) return false;
  for (int c = 0; c < jpeg.components; c++) {
    PlainComponent& component = jpeg.component[c];
    if (s.at[1 + 2 * c] != component.id) return false;
    for (int other = 0; other < c; other++) {
      if (jpeg.component[other].id == component.id) return false;
    }
    component.dc = s.at[2 + 2 * c] >> 4;
    component.ac = s.at[2 + 2 * c] & 15;
    if (component.dc > 3 || component.ac > 3) return false;
  }
  const uint8_t* spectrum = s.at + 1 + 2 * jpeg.components;
  return spectrum[0] == 0 && spectrum[1] == 63 && spectrum[2] == 0;
}

// The colour space that libjpeg assumes for a file of three components.
struct ColorSigns {
  bool jfif = false, adobe = false;
  int transform = 0;
};

bool is_ycc(const ColorSigns& signs, const PlainJpeg& jpeg) {
  if (signs.jfif) return true;
  if (signs.adobe) return signs.transform == 1;
  return jpeg.component[0].id == 1 && jpeg.component[1].id == 2 && jpeg.component[2].id == 3;
}

// Computes the sizes that follow from the sampling. Returns false if the sampling is not plain.
bool set_sampling(PlainJpeg& jpeg) {
  PlainComponent* const component = jpeg.component;
  if (jpeg.components == 1) component[0].h = component[0].v = 1;  // a scan of one component has its blocks in plain order
  if (component[0].h > 2 || component[0].v > 2) return false;
  for (int c = 1; c < jpeg.components; c++) {
    if (component[c].h != 1 || component[c].v != 1) return false;
  }
  jpeg.h = component[0].h;
  jpeg.v = component[0].v;
  jpeg.mcus_per_row = (jpeg.width + 8 * jpeg.h - 1) / (8 * jpeg.h);
  jpeg.mcu_rows = (jpeg.height + 8 * jpeg.v - 1) / (8 * jpeg.v);
  for (int c = 0; c < jpeg.components; c++) {
    component[c].width = (jpeg.width * component[c].h + jpeg.h - 1) / jpeg.h;
    component[c].height = (jpeg.height * component[c].v + jpeg.v - 1) / jpeg.v;
  }
  // libjpeg does not smooth chroma of one or two columns.
  return jpeg.components == 1 || jpeg.h == 1 || component[1].width > 2;
}

}  // namespace

bool read_plain_headers(Bytes file, PlainScratch& scratch) {
  PlainJpeg& jpeg = scratch.jpeg;
  jpeg.components = jpeg.restart_interval = 0;
  for (bool& has : jpeg.has_quant) has = false;
  for (HuffmanTable& table : scratch.dc) table.defined = false;
  for (HuffmanTable& table : scratch.ac) table.defined = false;
  ColorSigns signs;
  if (file.size < 4 || word_at(file.data) != 0xffd8) return false;
  size_t at = 2;
  while (true) {
    while (at < file.size && file.data[at] == 0xff && at + 1 < file.size && file.data[at + 1] == 0xff) at++;
    if (file.size - at < 4 || file.data[at] != 0xff) return false;
    const int marker = file.data[at + 1], length = word_at(file.data + at + 2);
    if (length < 2 || file.size - at - 2 < static_cast<size_t>(length)) return false;
    const Segment segment{file.data + at + 4, length - 2};
    at += 2 + static_cast<size_t>(length);
    switch (marker) {
      case 0xc0:
      case 0xc1:
        if (!read_frame(segment, jpeg)) return false;
        break;
      case 0xc4:
        if (!read_huffman_tables(segment, scratch)) return false;
        break;
      case 0xdb:
        if (!read_quant_tables(segment, jpeg)) return false;
        break;
      case 0xdd:
        if (segment.size != 2) return false;
        jpeg.restart_interval = word_at(segment.at);
        break;
      case 0xda: {
        if (!read_scan_header(segment, jpeg) || !set_sampling(jpeg)) return false;
        if (jpeg.components == 3 && !is_ycc(signs, jpeg)) return false;
        for (int c = 0; c < jpeg.components; c++) {
          const PlainComponent& component = jpeg.component[c];
          if (!jpeg.has_quant[component.quant] || !scratch.dc[component.dc].defined || !scratch.ac[component.ac].defined) return false;
        }
        jpeg.scan = file.data + at;
        jpeg.scan_size = file.size - at;
        return true;
      }
      default:
        if (marker == 0xe0 && segment.size >= 14 && std::memcmp(segment.at, "JFIF\0", 5) == 0) signs.jfif = true;
        if (marker == 0xee && segment.size >= 12 && std::memcmp(segment.at, "Adobe", 5) == 0) {
          signs.adobe = true;
          signs.transform = segment.at[11];
        }
        if (!((marker >= 0xe0 && marker <= 0xef) || marker == 0xfe)) return false;
    }
  }
}

bool read_plain_scan(PlainScratch& scratch) {
  const PlainJpeg& jpeg = scratch.jpeg;
  PlainScan& scan = scratch.scan;
  const size_t mcus = static_cast<size_t>(jpeg.mcus_per_row) * static_cast<size_t>(jpeg.mcu_rows);
  const size_t parts = jpeg.restart_interval == 0 ? 1 : (mcus - 1) / static_cast<size_t>(jpeg.restart_interval) + 1;
  if (scan.bytes.size() < jpeg.scan_size + kScanSlack) scan.bytes.resize(jpeg.scan_size + kScanSlack);
  scan.ends.clear();
  const uint8_t *from = jpeg.scan, *const end = jpeg.scan + jpeg.scan_size;
  uint8_t* to = scan.bytes.data();
  while (true) {
    const auto* mark = static_cast<const uint8_t*>(std::memchr(from, 0xff, static_cast<size_t>(end - from)));
    if (mark == nullptr || end - mark < 2) return false;
    const auto run = static_cast<size_t>(mark - from);
    std::memcpy(to, from, run);
    to += run;
    from = mark + 2;
    if (mark[1] == 0) {
      *to++ = 0xff;
      continue;
    }
    scan.ends.push_back(static_cast<size_t>(to - scan.bytes.data()));
    if (mark[1] == 0xd9) break;
    if (scan.ends.size() >= parts || mark[1] != 0xd0 + ((scan.ends.size() - 1) & 7)) return false;
  }
  std::memset(to, 0, kScanSlack);
  return scan.ends.size() == parts;
}

}  // namespace dropstream::pixels
