// Philox 4x32-10 (Salmon et al., SC 2011), one counter at a time: the same function as libs/random/philox.ts.
#pragma once
#include <cstdint>

namespace dropstream {

// Replaces the counter by the four words of its block.
inline void philox_block(uint32_t k0, uint32_t k1, uint32_t (&c)[4]) {
  for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
    const uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
    for (int i = 0; i < 4; i++) c[i] = next[i];
  }
}

}  // namespace dropstream
