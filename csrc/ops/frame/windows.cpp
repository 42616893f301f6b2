#include "../windows.h"

namespace sluice {

Window window_of(const OpSpec& conv) {
  Window window = {};
  window.height = static_cast<int>(conv.weight.shape[2]);
  window.width = static_cast<int>(conv.weight.shape[3]);
  window.stride_y = integer(conv, "stride_y");
  window.stride_x = integer(conv, "stride_x");
  window.pad_y = integer(conv, "padding_y");
  window.pad_x = integer(conv, "padding_x");
  if (conv.attributes.count("extra_padding_y") != 0) {
    window.extra_y = integer(conv, "extra_padding_y");
    window.extra_x = integer(conv, "extra_padding_x");
  }
  window.dilation_y = integer(conv, "dilation_y");
  window.dilation_x = integer(conv, "dilation_x");
  return window;
}

int64_t pairs_of(const OpenList& in, const OpenList& out, int in_per_group, int out_per_group) {
  int64_t pairs = 0;
  for (int i = 0, o = 0; i < in.count && o < out.count;) {
    const int group = in.channels[i] / in_per_group;
    int64_t ins = 0, outs = 0;
    for (; i < in.count && in.channels[i] / in_per_group == group; ++i) ++ins;
    for (; o < out.count && out.channels[o] / out_per_group < group;) ++o;
    for (; o < out.count && out.channels[o] / out_per_group == group; ++o) ++outs;
    pairs += ins * outs;
  }
  return pairs;
}

}  // namespace sluice
