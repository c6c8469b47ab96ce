// The kernels of one instruction set, before the table that gathers them.
#pragma once
#include "kernels.h"

namespace dropstream::pixels {
namespace DROPSTREAM_PIXELS {

void resample_across(const Planes& source, const Taps& taps, const Planes& out, uint8_t* scratch);
void resample_down(const Planes& source, const Taps& taps, const Planes& out);
void mirror(const Planes& source, const Planes& out);

}  // namespace DROPSTREAM_PIXELS
}  // namespace dropstream::pixels
