// Winograd F(4x4, 3x3), whose kernels and matrices stand in kernels/templates/winograd.inc. A share of the work is
// some tiles and some output blocks. A thread takes it through all steps by itself, in memory that stays in its own
// cache:
//
//     V [36][tile][in] of its tiles
//     for each group of 3 output blocks:
//         for each pass of some 64 input channels:
//             U [36][in][48] of the open weights; M [36][tile][48] += V U
//         output of the group
//
// How the work is cut:
// - by tiles, where there are enough of them for all threads. If all of U fits into L2 beside some tiles, a thread
//   makes it once and keeps it while it takes batches of tiles as they come;
// - else by output blocks: each thread transforms all of the input, which costs less than to meet at a barrier.
#include <algorithm>
#include <array>
#include <vector>

#include "algorithms.h"

namespace sluice {
namespace {

constexpr int kPositions = 36, kTaps = 9, kGroup = 3, kPass = 64;
// In tiles: the fewest of a thread for which a plane is cut by tiles, where U is kept and where each batch makes it
// anew; the most of such a batch; and what makes a plane that is not cut by tiles go by in batches all the same. They
// tell the 196, 49, 16 and 4 tiles of ResNet's planes apart as their times do.
constexpr int kFewTiles = 8, kBatch = 14, kMostTiles = 28, kManyTiles = 64;
constexpr size_t kPitch = kGroup * kLanes;  // of U and M
constexpr size_t kBatchFloats = 40 * 1024;  // of V
constexpr size_t kKeptFloats = 160 * 1024;  // 640 KiB of the 1 MiB that a core has
constexpr size_t kBlockTaps = kTaps * kLanes;

// Planes an odd number of cache lines apart: were it a power of two, 36 stores would fall into the same cache set.
constexpr size_t plane_of(size_t rows, size_t pitch) { return (rows * pitch / kLanes | 1) * kLanes; }

class Winograd final : public ConvAlgorithm {
 public:
  Winograd(const Plan& plan, const OpSpec& op)
      : shape_(op), bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))) {
    const ValueSpec& out = plan.value(op.output);
    gated_out_ = plan.is_gated(op.output);
    by_rows_ = !plan.has_whole_blocks(op.output);
    by_rows_ ? keep_rows() : keep_blocks();
    shape_.data = nullptr;  // borrowed
    tiles_x_ = (out.width() + 3) / 4;
    tiles_ = tiles_x_ * ((out.height() + 3) / 4);
    const size_t most_blocks = blocks_of(shape_.out);
    kept_ = kPositions * shape_.in() * most_blocks * kLanes <= kKeptFloats;
    batches_ = batches(plan.threads());
    const int most_tiles = batches_ == 0 ? tiles_ : (tiles_ + batches_ - 1) / batches_;
    group_floats_ = kPositions * plane_of(kept_ ? shape_.in() : kPass, kPitch);
    sizes_ = {(kept_ ? most_blocks / 2 + 1 : 1) * group_floats_, kPositions * plane_of(most_tiles, in_pitch()),
              kPositions * plane_of(most_tiles, kPitch), pass_size(shape_.in()) * kBlockTaps + kLanes * kLanes,
              most_blocks * kLanes};
  }

  size_t scratch_floats() const override {
    return sizes_.weights + sizes_.in + sizes_.out + sizes_.packed + sizes_.bias;
  }

  void run(RunState& state, const ConvCall& call) const override {
    const int blocks = blocks_of(call.open_out.count);
    if (batches_ > 0) {
      std::vector<char> ready(state.pool.threads(), 0);  // threads whose U is made
      state.pool.run(batches_, [&](int batch, int thread) {
        run_share(state, call, {share_of(tiles_, batch, batches_), {0, blocks}}, thread, ready[thread] != 0);
        ready[thread] = kept_;
      });
    } else {
      const int chunks = std::min(state.pool.threads(), blocks);
      state.pool.run(chunks, [&](int chunk, int thread) {
        run_share(state, call, {{0, tiles_}, share_of(blocks, chunk, chunks)}, thread, false);
      });
    }
  }

 private:
  struct Share {
    Span tiles, blocks;
  };
  struct Sizes {
    size_t weights, in, out, packed, bias;  // floats of each part of a thread's scratch, in this order
  };

  // 0: cut by output blocks.
  int batches(int threads) const {
    const int enough = (kept_ ? kFewTiles : kBatch) * threads;
    if (tiles_ < enough) return tiles_ < kManyTiles ? 0 : (tiles_ + kBatch - 1) / kBatch;
    // Where channels are few a batch has more tiles, for to hand one out takes time.
    const int fit = static_cast<int>(kBatchFloats / (kPositions * in_pitch()));
    const int most = threads * (kept_ ? std::max(kBatch, fit) : kMostTiles);
    return threads * ((tiles_ + most - 1) / most);
  }

  // [out][in][tap], of which rows are picked: what follows the last one may be read.
  void keep_rows() {
    row_step_ = static_cast<size_t>(shape_.in()) * kTaps;
    weights_ = make_floats(shape_.out * row_step_ + kLanes);
    std::copy_n(shape_.data, shape_.out * row_step_, weights_.get());
  }

  // [block][in][tap][16]: what a block reads lies in one piece, which the hardware's prefetcher follows.
  void keep_blocks() {
    row_step_ = kBlockTaps;
    weights_ = make_floats(blocks_of(shape_.out) * shape_.in() * row_step_);
    for (int c = 0; c < shape_.in(); ++c)
      for (int n = 0; n < shape_.out; ++n)
        for (int t = 0; t < kTaps; ++t)
          weights_[(n / kLanes * shape_.in() + c) * kBlockTaps + t * kLanes + n % kLanes] =
              shape_.row(n)[c * kTaps + t];
  }

  // 16 floats more than the channels, or rows a power of two apart would fall into the same cache sets.
  size_t in_pitch() const { return static_cast<size_t>(blocks_of(shape_.in()) + 1) * kLanes; }
  int pass_size(int channels) const {
    const int passes = kept_ ? 1 : (channels + kPass - 1) / kPass;
    return channels == 0 ? 1 : (channels + passes - 1) / passes;
  }

  void run_share(RunState& state, const ConvCall& call, const Share& share, int thread, bool ready) const {
    float* weights = state.scratch(thread);
    float* in = weights + sizes_.weights;
    float* out = in + sizes_.in;
    float* packed = out + sizes_.out;
    const float* bias = gated_out_ ? gather_bias(call.open_out, packed + sizes_.packed) : bias_.get();
    const int tiles = share.tiles.end - share.tiles.begin, channels = call.open_in.count;
    const size_t in_plane = plane_of(tiles, in_pitch()), out_plane = plane_of(tiles, kPitch);
    RowPointers rows;
    Pass now = pass_at(share, share.blocks.begin, 0, channels);
    WinogradInput input = {};
    input.in = call.in;
    input.blocks = blocks_of(channels);
    input.tile_begin = share.tiles.begin;
    input.tile_end = share.tiles.end;
    input.tiles_x = tiles_x_;
    input.out = in;
    input.plane = in_plane;
    input.pitch = in_pitch();
    if (!kept_) input.next = rows_of(call, now, rows);
    state.kernels.winograd_input(input);
    WinogradProduct product = {};
    product.in_plane = in_plane;
    product.in_pitch = in_pitch();
    product.out = out;
    product.out_plane = out_plane;
    product.out_pitch = kPitch;
    product.tiles = tiles;
    product.weights_plane = weights_plane();
    product.weights_pitch = kPitch;
    WinogradOutput output = {};
    output.in = out;
    output.plane = out_plane;
    output.pitch = kPitch;
    output.out = call.out;
    output.residual = call.residual;
    output.bias = bias;
    output.tile_begin = share.tiles.begin;
    output.tile_end = share.tiles.end;
    output.tiles_x = tiles_x_;
    output.clamp = call.clamp;
    const Prefetch meanwhile = thread == 0 ? call.meanwhile : Prefetch{};
    for (Pass next; now.blocks > 0; now = next) {
      next = following(now, share, channels);
      if (!ready)
        for (int b = 0; b < now.blocks; ++b) transform(state, call, now, b, packed, weights + b * kLanes);
      product.in = in + now.from;
      product.weights = weights;
      product.count = now.count;
      product.blocks = now.blocks;
      product.first = now.from == 0;
      product.next = kept_ || next.blocks == 0 ? meanwhile : rows_of(call, next, rows);
      state.kernels.winograd_product(product);
      if (next.block == now.block) continue;
      output.block_begin = now.block;
      output.block_end = now.block + now.blocks;
      state.kernels.winograd_output(output);
      if (kept_) weights += group_floats_;
    }
  }

  // A group of output blocks, and some of the stored input channels.
  struct Pass {
    int block, blocks, from, count;
  };

  Pass pass_at(const Share& share, int block, int from, int channels) const {
    const int left = share.blocks.end - block;
    return {block, left == kGroup + 1 ? 2 : std::min(left, kGroup), from,
            std::min(pass_size(channels), channels - from)};
  }
  Pass following(const Pass& pass, const Share& share, int channels) const {  // without blocks behind the last
    const int from = pass.from + pass.count;
    return from < channels ? pass_at(share, pass.block, from, channels)
                           : pass_at(share, pass.block + pass.blocks, 0, channels);
  }

  // Where the weights of a pass lie.
  using RowPointers = std::array<const float*, kGroup * kPass>;
  Prefetch rows_of(const ConvCall& call, const Pass& pass, RowPointers& rows) const {
    const int32_t* channels = call.open_in.channels + pass.from;
    int count = 0;
    if (!by_rows_) {
      for (int b = 0; b < pass.blocks; ++b)
        for (int i = 0; i < pass.count; ++i) rows[count++] = block_weights(call, pass.block + b, channels[i]);
      return {rows.data(), count, kTaps};
    }
    const int end = std::min((pass.block + pass.blocks) * kLanes, call.open_out.count);
    for (int i = pass.block * kLanes; i < end; ++i)
      rows[count++] = weights_.get() + call.open_out.channels[i] * row_step_ + channels[0] * kTaps;
    const int floats = pass.count == 0 ? 0 : (channels[pass.count - 1] + 1 - channels[0]) * kTaps;
    return {rows.data(), count, blocks_of(floats) + 1};
  }

  const float* block_weights(const ConvCall& call, int block, int channel) const {
    return weights_.get() + (static_cast<size_t>(call.open_out.blocks[block]) * shape_.in() + channel) * kBlockTaps;
  }

  size_t weights_plane() const { return group_floats_ / kPositions; }

  // One output block of U. Rows are first packed as [in][tap][16].
  void transform(RunState& state, const ConvCall& call, const Pass& pass, int block, float* packed,
                 float* out) const {
    const int32_t* channels = call.open_in.channels + pass.from;
    WinogradWeights w = {packed, state.in_order(), kBlockTaps, pass.count, out};
    w.plane = weights_plane();
    w.pitch = kPitch;
    if (by_rows_) {
      pack(state, call.open_out, pass.block + block, channels, pass.count, packed);
    } else {
      w.taps = block_weights(call, pass.block + block, 0);
      w.rows = channels;
    }
    state.kernels.winograd_weights(w);
  }

  void pack(RunState& state, const OpenList& open, int block, const int32_t* channels, int count, float* out) const {
    const auto rows = lanes_of(open, block);
    PackRows pack = {};
    for (int lane = 0; lane < kLanes; ++lane) {
      pack.rows[lane] = weights_.get() + rows[lane] * row_step_;
      pack.last[lane] = shape_.in();
    }
    pack.channels = channels;
    pack.count = count;
    pack.taps = kTaps;
    pack.out = out;
    state.kernels.pack_rows(pack);
  }

  const float* gather_bias(const OpenList& open, float* out) const {
    std::fill_n(out, blocks_of(open.count) * kLanes, 0.0f);
    for (int i = 0; i < open.count; ++i) out[i] = bias_[open.channels[i]];
    return out;
  }

  ConvWeights shape_;
  Floats bias_, weights_;
  bool gated_out_, by_rows_, kept_;
  int tiles_x_, tiles_, batches_;
  size_t row_step_, group_floats_;
  Sizes sizes_;
};

}  // namespace

ConvAlgorithmPtr make_winograd(const Plan& plan, const OpSpec& op) { return std::make_unique<Winograd>(plan, op); }

}  // namespace sluice
