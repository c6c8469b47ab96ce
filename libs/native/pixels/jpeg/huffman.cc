#include <cstring>

#include "jpeg/plain.h"

namespace dropstream::pixels {

bool make_huffman_table(const uint8_t* counts, const uint8_t* symbols, int symbol_count, bool for_dc, HuffmanTable& table) {
  std::memset(table.definition, 0, sizeof table.definition);  // set again only when the table is complete
  std::memset(table.fast, 0, sizeof table.fast);
  std::memcpy(table.symbols, symbols, static_cast<size_t>(symbol_count));
  if (symbol_count == 0) return false;
  uint32_t code = 0;
  int next = 0;
  for (int length = 1; length <= 16; length++) {
    table.offset[length] = next - static_cast<int32_t>(code);
    for (int i = 0; i < counts[length - 1]; i++, next++, code++) {
      const int symbol = symbols[next];
      const int size = for_dc ? symbol : symbol & 15, run = for_dc ? 0 : symbol >> 4;
      // In 8-bit images, a DC difference has at most 11 bits and another coefficient at most 10.
      if (size > (for_dc ? 11 : 10)) return false;
      const bool end = !for_dc && size == 0 && run != 15;
      if (end && run != 0) return false;
      if (length > HuffmanTable::kBits) continue;
      const auto entry = static_cast<uint32_t>((length + size) | (end ? kEndOfBlock : run + 1) << 8 | (63 - size) << 16 | length << 24);
      const uint32_t first = code << (HuffmanTable::kBits - length), many = 1u << (HuffmanTable::kBits - length);
      if (first + many > 1u << HuffmanTable::kBits) return false;
      for (uint32_t j = 0; j < many; j++) table.fast[first + j] = entry;
    }
    if (code > 1u << length) return false;  // more codes than this length allows
    table.limit[length] = code << (16 - length);
    code <<= 1;
  }
  table.limit[17] = 1u << 16;
  if (!for_dc) {
    constexpr int kBits = HuffmanTable::kSkipBits;
    // First one symbol per entry, then a second one if it fits completely. The result goes to another table, so that a second symbol is
    // looked up among single ones.
    for (uint32_t i = 0; i < 1u << kBits; i++) {
      const uint32_t entry = table.fast[i >> (kBits - HuffmanTable::kBits)];
      table.skip[i] = entry != 0 && (entry & 63) <= kBits ? static_cast<uint16_t>(entry & 0xff3f) : 0;
    }
    uint16_t* const one = table.skip;
    static thread_local uint16_t pairs[1 << kBits];
    for (uint32_t i = 0; i < 1u << kBits; i++) {
      pairs[i] = one[i];
      const int length = one[i] & 63, advance = one[i] >> 8;
      if (length == 0 || advance == kEndOfBlock) continue;
      const uint16_t second = one[(i << length) & ((1u << kBits) - 1)];
      if (second == 0 || length + (second & 63) > kBits) continue;
      pairs[i] = static_cast<uint16_t>((length + (second & 63)) | (advance + (second >> 8)) << 8);
    }
    std::memcpy(table.skip, pairs, sizeof pairs);
  }
  table.for_dc = for_dc;
  std::memcpy(table.definition, counts, 16);
  std::memcpy(table.definition + 16, symbols, static_cast<size_t>(symbol_count));
  return true;
}

}  // namespace dropstream::pixels
