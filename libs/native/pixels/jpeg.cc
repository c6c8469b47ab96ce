#include "jpeg.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>

extern "C" {
#include <jpeglib.h>
#include <jerror.h>
}

#ifndef DROPSTREAM_JPEG_BUILD
#define DROPSTREAM_JPEG_BUILD "unknown build"
#endif
#define DROPSTREAM_TEXT_(x) #x
#define DROPSTREAM_TEXT(x) DROPSTREAM_TEXT_(x)

namespace dropstream::pixels {
namespace {

// Limits the work that a small progressive file can cause, because every scan visits every block.
constexpr int kMaxScans = 200;
constexpr int64_t kMaxScanPixels = 20 * kMaxArea;

// libjpeg reports errors through callbacks inside C frames, which a C++ exception must not cross. So they leave by longjmp, and only
// decode_jpeg, below, turns the message into an exception. No frame in between may hold an object with a destructor.
struct Session {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  int64_t area;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(Session* session) { std::longjmp(session->escape, 1); }

[[noreturn]] void on_error(j_common_ptr info) {
  auto* session = static_cast<Session*>(info->client_data);
  info->err->format_message(info, session->message);
  leave(session);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  info->err->num_warnings++;
  if (info->err->msg_code == JWRN_JPEG_EOF) on_error(info);  // truncated: missing pixels are not invented
}

void on_progress(j_common_ptr info) {
  auto* session = static_cast<Session*>(info->client_data);
  const int64_t scans = session->info.input_scan_number;
  if (scans > kMaxScans || scans * session->area > kMaxScanPixels) {
    std::snprintf(session->message, sizeof session->message, "more than %d scans, or too many for its size", kMaxScans);
    leave(session);
  }
}

void on_output(j_common_ptr) {}

[[noreturn]] void refuse(Session* session, const char* message) {
  std::snprintf(session->message, sizeof session->message, "%s", message);
  leave(session);
}

// Pillow's CMYK → RGB for one row. Samples are stored inverted (Adobe's convention, which is assumed for every file), so ~s is the ink.
void cmyk_row_to_rgb(const uint8_t* __restrict cmyk, int count, uint8_t* __restrict r, uint8_t* __restrict g, uint8_t* __restrict b) {
  uint8_t* const planes[3] = {r, g, b};
  for (int c = 0; c < 3; c++) {
    for (int x = 0; x < count; x++) {
      const int n = cmyk[4 * x + 3];  // 255 − K
      const int t = (255 - cmyk[4 * x + c]) * n + 128;
      const int value = n - ((t + (t >> 8)) >> 8);
      planes[c][x] = static_cast<uint8_t>(value < 0 ? 0 : value);
    }
  }
}

struct Request {
  Bytes file;
  // Called once the header is known. To reject the image, returns false and fills `message`. Must not throw.
  bool (*accept)(void* context, int width, int height, int line_bytes, char* message, size_t message_size);
  // Called for each decoded line, in order.
  void (*line)(void* context, int y, bool cmyk);
  uint8_t* (*line_buffer)(void* context);
  void* context;
};

// Returns true if the whole file was decoded; otherwise false, with session.message set.
bool run(Session& session, const Request& request) {
  std::memset(&session, 0, sizeof session);
  session.info.err = jpeg_std_error(&session.errors);
  session.errors.error_exit = on_error;
  session.errors.emit_message = on_message;
  session.errors.output_message = on_output;
  session.info.client_data = &session;
  if (setjmp(session.escape) != 0) {
    jpeg_destroy_decompress(&session.info);
    return false;
  }
  jpeg_create_decompress(&session.info);
  session.info.mem->max_memory_to_use = 1L << 30;
  session.progress.progress_monitor = on_progress;
  session.info.progress = &session.progress;
  jpeg_mem_src(&session.info, const_cast<unsigned char*>(request.file.data), static_cast<unsigned long>(request.file.size));
  jpeg_read_header(&session.info, TRUE);
  const int width = static_cast<int>(session.info.image_width);
  const int height = static_cast<int>(session.info.image_height);
  session.area = static_cast<int64_t>(width) * height;
  const bool cmyk = session.info.num_components == 4;
  if (session.info.num_components != 1 && session.info.num_components != 3 && !cmyk) {
    refuse(&session, "number of components must be 1, 3 or 4");
  }
  session.info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  session.info.dct_method = JDCT_ISLOW;
  session.info.do_fancy_upsampling = TRUE;
  if (!request.accept(request.context, width, height, width * (cmyk ? 4 : 3), session.message, sizeof session.message)) {
    jpeg_destroy_decompress(&session.info);
    return false;
  }
  jpeg_start_decompress(&session.info);
  while (session.info.output_scanline < session.info.output_height) {
    const int y = static_cast<int>(session.info.output_scanline);
    JSAMPROW row = request.line_buffer(request.context);
    if (jpeg_read_scanlines(&session.info, &row, 1) != 1) refuse(&session, "the image ends before its last line");
    request.line(request.context, y, cmyk);
  }
  jpeg_finish_decompress(&session.info);
  jpeg_destroy_decompress(&session.info);
  return true;
}

struct Target {
  Image& out;
  std::vector<uint8_t>& line;
  const ChooseWindow& choose;
  Window wanted;
  int declared_width, declared_height;
};

bool accept(void* context, int width, int height, int line_bytes, char* message, size_t message_size) {
  auto& target = *static_cast<Target*>(context);
  try {
    check_dimensions(width, height);
    check_declared(target.declared_width, target.declared_height, width, height);
    target.wanted = target.choose(width, height);
    target.out.reshape(target.wanted.width, target.wanted.height);
    if (target.line.size() < static_cast<size_t>(line_bytes)) target.line.resize(static_cast<size_t>(line_bytes));
    return true;
  } catch (const std::exception& error) {
    std::snprintf(message, message_size, "%s", error.what());
    return false;
  }
}

void keep_line(void* context, int y, bool cmyk) {
  auto& target = *static_cast<Target*>(context);
  const int row = y - target.wanted.top;
  if (row < 0 || row >= target.wanted.height) return;
  const uint8_t* line = target.line.data() + static_cast<size_t>(target.wanted.left) * (cmyk ? 4 : 3);
  (cmyk ? cmyk_row_to_rgb : deinterleave)(line, target.wanted.width, target.out.row(0, row), target.out.row(1, row), target.out.row(2, row));
}

}  // namespace

void decode_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, JpegScratch& scratch) {
  if (file.size == 0) throw PixelError("jpeg: empty file");
  try {
    if (scratch.plain && decode_plain_jpeg(file, declared_width, declared_height, choose, out, *scratch.plain)) return;
  } catch (const PixelError&) {  // thrown again below, with a better message
  }
  Target target{out, scratch.line, choose, {}, declared_width, declared_height};
  const Request request{file, accept, keep_line, [](void* context) { return static_cast<Target*>(context)->line.data(); }, &target};
  Session session;
  if (!run(session, request)) throw PixelError(std::string("jpeg: ") + session.message);
}

const char* jpeg_library() { return "libjpeg-turbo " DROPSTREAM_TEXT(LIBJPEG_TURBO_VERSION) ", " DROPSTREAM_JPEG_BUILD; }

}  // namespace dropstream::pixels
