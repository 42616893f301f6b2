// Winograd F(4x4, 3x3), whose kernels and matrices stand in kernels/templates/winograd.inc: weights are
// transformed at load, tiles of input and output in each run. Two ways to share the work:
//
// - many tiles (56x56 and more): each thread takes batches of 14 tiles through all three steps by itself, so
// that
//   transformed tiles stay in its own cache;
// - few tiles: each thread takes some of the output blocks and transforms all of the input for itself. That
// work is
//   done twice, which costs less than to meet at a barrier.
#include <algorithm>

#include "conv.h"

namespace sluice {
namespace {

constexpr int kPositions = 36, kBatch = 14, kManyTiles = 100, kTileBlocks = 3;

// u[xi] = (G g G^T)[xi] of 16 kernels g at once; both have a kernel in each lane.
void transform_weights(const float (&g)[9][kLanes], float (&u)[kPositions][kLanes]) {
  static constexpr double G[6][3] = {{1 / 4.0, 0, 0},
                                     {-1 / 6.0, -1 / 6.0, -1 / 6.0},
                                     {-1 / 6.0, 1 / 6.0, -1 / 6.0},
                                     {1 / 24.0, 1 / 12.0, 1 / 6.0},
                                     {1 / 24.0, -1 / 12.0, 1 / 6.0},
                                     {0, 0, 1}};
  double half[3][kLanes];
  for (int i = 0; i < 6; ++i) {
    for (int s = 0; s < 3; ++s)
      for (int lane = 0; lane < kLanes; ++lane)
        half[s][lane] = G[i][0] * g[s][lane] + G[i][1] * g[3 + s][lane] + G[i][2] * g[6 + s][lane];
    for (int j = 0; j < 6; ++j)
      for (int lane = 0; lane < kLanes; ++lane)
        u[i * 6 + j][lane] =
            static_cast<float>(half[0][lane] * G[j][0] + half[1][lane] * G[j][1] + half[2][lane] * G[j][2]);
  }
}

class Winograd final : public ConvAlgorithm {
 public:
  Winograd(const Plan& plan, const OpSpec& op)
      : bias_(padded_bias(op)), gated_out_(plan.value(op.output).gate != -1) {
    const ConvWeights w(op);
    in_ = w.in();
    out_ = w.out;
    tiles_x_ = (plan.value(op.output).width() + 3) / 4;
    tiles_ = tiles_x_ * ((plan.value(op.output).height() + 3) / 4);
    // [xi][in][out] to walk a list of inputs, [xi][out][in] to pick rows of outputs.
    const size_t rows = gated_out_ ? out_ : in_;
    row_ = static_cast<size_t>(blocks_of(gated_out_ ? in_ : out_)) * kLanes;
    plane_ = rows * row_;
    weights_ = make_floats(kPositions * plane_);
    for (size_t row = 0; row < rows; ++row)
      for (size_t column = 0; column < row_; column += kLanes) transform_block(w, row, column);
  }

  size_t scratch_floats() const override {
    const size_t tiles = is_batched() ? kBatch : tiles_;
    return kPositions * tiles * (pitch(in_) + pitch(out_)) + packed_floats() + blocks_of(out_) * kLanes;
  }

  void run(Run& run, const ConvCall& call) const override {
    const int blocks = blocks_of(call.open_out.count);
    if (is_batched()) {
      const int batches = (tiles_ + kBatch - 1) / kBatch;
      run.pool.run(batches, [&](int batch, int thread) {
        const int first = batch * kBatch;
        run_share(run, call, {first, std::min(first + kBatch, tiles_), 0, blocks}, thread);
      });
    } else {
      const int chunks = std::min(run.pool.threads(), blocks);
      run.pool.run(chunks, [&](int chunk, int thread) {
        run_share(run, call, {0, tiles_, blocks * chunk / chunks, blocks * (chunk + 1) / chunks}, thread);
      });
    }
  }

 private:
  struct Share {
    int tile_begin, tile_end, block_begin, block_end;
  };

  // 16 columns of one row of all 36 matrices; columns past the last channel stay zero.
  void transform_block(const ConvWeights& w, size_t row, size_t column) {
    const size_t columns = gated_out_ ? in_ : out_;
    float g[9][kLanes] = {}, u[kPositions][kLanes];
    for (size_t lane = 0; lane < kLanes && column + lane < columns; ++lane) {
      const size_t out = gated_out_ ? row : column + lane, in = gated_out_ ? column + lane : row;
      for (int t = 0; t < 9; ++t) g[t][lane] = w.row(static_cast<int>(out))[in * 9 + t];
    }
    transform_weights(g, u);
    for (int xi = 0; xi < kPositions; ++xi)
      std::copy_n(u[xi], kLanes, weights_.get() + xi * plane_ + row * row_ + column);
  }

  bool is_batched() const { return tiles_ >= kManyTiles; }
  // 16 floats more than the channels, or rows a power of two apart would fall into the same cache sets.
  static size_t pitch(int channels) { return static_cast<size_t>(blocks_of(channels) + 1) * kLanes; }
  size_t packed_floats() const {
    return gated_out_ ? static_cast<size_t>(kTileBlocks) * blocks_of(in_) * kLanes * kLanes : 0;
  }

  void run_share(Run& run, const ConvCall& call, Share share, int thread) const {
    const int tiles = share.tile_end - share.tile_begin;
    float* in = run.scratch(thread);
    float* out = in + kPositions * tiles * pitch(in_);
    float* packed = out + kPositions * tiles * pitch(out_);
    run.kernels.winograd_input({call.in, blocks_of(call.open_in.count), share.tile_begin, share.tile_end, tiles_x_,
                                in, tiles * pitch(in_), pitch(in_)});
    run.kernels.winograd_product({in, tiles * pitch(in_), pitch(in_), out, tiles * pitch(out_), pitch(out_), tiles,
                                  weights_.get(), plane_, row_, in_, call.open_in.channels, call.open_in.count,
                                  gated_out_ ? call.open_out.channels : nullptr, call.open_out.count,
                                  share.block_begin, share.block_end, packed});
    const float* bias = gated_out_ ? gather_bias(call.open_out, packed + packed_floats()) : bias_.get();
    run.kernels.winograd_output({out, tiles * pitch(out_), pitch(out_), call.out, call.residual, bias,
                                 share.block_begin, share.block_end, share.tile_begin, share.tile_end, tiles_x_,
                                 call.clamp});
  }

  const float* gather_bias(const OpenList& open, float* out) const {
    std::fill_n(out, blocks_of(open.count) * kLanes, 0.0f);
    for (int i = 0; i < open.count; ++i) out[i] = bias_[open.channels[i]];
    return out;
  }

  Floats bias_, weights_;
  bool gated_out_;
  int in_, out_, tiles_x_, tiles_;
  size_t row_, plane_;
};

}  // namespace

ConvAlgorithmPtr make_winograd(const Plan& plan, const OpSpec& op) { return std::make_unique<Winograd>(plan, op); }

}  // namespace sluice
