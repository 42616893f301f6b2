// Rows of open outputs are packed into blocks, then run as outer product. Single taps are packed with all input
// channels, since then 16 at a time are transposed, and the list picks among them afterwards; other kernels are
// packed by the list.
//
// Everybody packs what it multiplies: to get from another core's cache what that has packed takes longer. Large
// planes are cut by rows, and each thread packs all blocks; their weights are few. A last block of which little is
// open would cost as much as any, so these outputs are computed as inner products, which need no block.
//
// Other planes are cut by groups of up to three blocks, in passes that stay in that core's cache. Rows of the next
// pass are fetched from memory while this one is multiplied: packing by itself only waits for them.
#include <algorithm>
#include <array>
#include <vector>

#include "algorithms.h"

namespace sluice {
namespace {

class Packed final : public ConvAlgorithm {
 public:
  Packed(const Plan& plan, const OpSpec& op)
      : window_(window_of(op)),
        bias_(padded_bias(op, static_cast<int>(op.weight.shape[0]))),
        shape_(op),
        threads_(plan.threads()) {
    const size_t size = static_cast<size_t>(shape_.out) * shape_.per_group * shape_.taps;
    weights_ = make_floats(size + kLanes);
    std::copy_n(shape_.data, size, weights_.get());
    shape_.data = weights_.get();
    step_ = static_cast<size_t>(shape_.taps) * kLanes;
    whole_ = shape_.taps == 1 && shape_.groups == 1;
    // What stays in L2; of several taps as long as the kernel's own passes, so that it does not cut them again.
    pass_ = shape_.taps == 1 ? 1024 : std::max(576 / shape_.taps, 16);
    large_ = shape_.groups == 1 && plan.value(op.output).height() >= kLargePlane;
    if (large_ && shape_.taps > 1 && !plan.is_gated(op.inputs[0]) && op.inputs.size() == 1) {
      rest_ = make_inner(op);
      const int products = blocks_of(shape_.in()) * shape_.taps;
      most_rest_ = kLanes * products / (products + kSumming);
    }
  }

  size_t scratch_floats() const override {
    const int blocks = large_ ? blocks_of(shape_.out) : kTileBlocks;
    return blocks * (block_step(shape_.in()) + kLanes);
  }

  void run(RunState& state, const ConvCall& call) const override {
    large_ ? run_rows(state, call) : run_groups(state, call);
  }

 private:
  static constexpr int kSumming = 6;  // what summing the lanes of a pixel costs an inner product, in vector products

  // A group of output blocks, and the input channels that it reads.
  struct Group {
    int first, end;  // open output channels
    Range range;     // open input channels
    int blocks() const { return blocks_of(end - first); }
  };

  // What of a group is packed and multiplied at a time: some of its input channels.
  struct Pass {
    Range range;            // open input channels
    const int32_t* wanted;  // channels packed
    int count;
    bool first, last;
  };

  Group group_of(const ConvCall& call, Span blocks) const {
    const int first = blocks.begin * kLanes, end = std::min(blocks.end * kLanes, call.open_out.count);
    const int32_t* list = call.open_out.channels;
    return {first, end,
            entries_between(call.open_in, shape_.first_in(list[first]),
                            shape_.first_in(list[end - 1]) + shape_.per_group)};
  }

  Pass pass_of(const ConvCall& call, const Group& group, int index, int passes) const {
    const auto [begin, end] = share_of(group.range.count, index, passes);
    const int32_t* list = call.open_in.channels + group.range.begin;
    const bool none = begin == end;
    return {{group.range.begin + begin, end - begin},
            whole_ && !none ? call.in_order + list[begin] : list + begin,
            whole_ && !none ? list[end - 1] + 1 - list[begin] : end - begin,
            index == 0,
            index + 1 == passes};
  }

  int passes_of(const Group& group) const { return std::max(1, (group.range.count + pass_ - 1) / pass_); }

  void run_rows(RunState& state, const ConvCall& call) const {
    const int open = call.open_out.count, left = open % kLanes, rest_count = left <= most_rest_ ? left : 0;
    ConvCall whole = call, rest = call;
    whole.open_out.count = open - rest_count;
    rest.open_out = {call.open_out.channels + whole.open_out.count, rest_count, nullptr};
    rest.out.data += whole.open_out.count / kLanes * rest.out.block;
    const int blocks = blocks_of(whole.open_out.count);
    std::vector<char> ready(threads_, 0);  // threads whose blocks are packed
    const Shares shares(threads_, call.out.height, blocks, kTileBlocks, shape_.taps);
    state.pool.run(shares.chunks, [&](int chunk, int thread) {
      const Span rows = shares.rows_of(chunk);
      if (blocks > 0) {
        const Group group = group_of(whole, {0, blocks});
        const Pass pass = pass_of(whole, group, 0, 1);
        float* packed = state.scratch(thread);
        for (int block = 0; ready[thread] == 0 && block < blocks; ++block)
          pack_block(state, whole, group, pass, block, packed);
        ready[thread] = 1;
        multiply(state, whole, group, pass, packed, gather_bias(whole, group, pass, packed), {0, blocks}, rows, {});
      }
      if (rest_count > 0) rest_->row_wise()->run_rows(state, rest, rows, thread);
    });
  }

  void run_groups(RunState& state, const ConvCall& call) const {
    const int blocks = blocks_of(call.open_out.count), height = call.out.height;
    int groups = (blocks + kTileBlocks - 1) / kTileBlocks;
    if (blocks >= 2 * threads_) groups = (groups + threads_ - 1) / threads_ * threads_;  // as many for each thread
    // Every cut of the rows packs for itself, so there are no more cuts than it takes to feed the threads.
    const int cuts = groups % threads_ == 0 ? 1 : std::min(height, (threads_ + groups - 1) / groups + 1);
    const auto group_at = [&](int g) { return group_of(call, share_of(blocks, g, groups)); };
    state.pool.run(groups * cuts, [&](int chunk, int thread) {
      const int g = chunk / cuts, cut = chunk % cuts;
      const Group group = group_at(g);
      const int passes = passes_of(group);
      float* packed = state.scratch(thread);
      RowPointers rows;
      for (int p = 0; p < passes; ++p) {
        const Pass pass = pass_of(call, group, p, passes);
        for (int block = 0; block < group.blocks(); ++block) pack_block(state, call, group, pass, block, packed);
        const bool more = p + 1 < passes;
        const int coming = more ? g : g + (thread == 0 ? 1 : -1);  // else what this thread most likely takes then
        Prefetch next = {};
        if (coming >= 0 && coming < groups) next = rows_of(call, group_at(coming), more ? p + 1 : 0, rows);
        multiply(state, call, group, pass, packed, gather_bias(call, group, pass, packed), {0, group.blocks()},
                 share_of(height, cut, cuts), next);
      }
    });
  }

  // The weights of a pass, as they lie in memory.
  using RowPointers = std::array<const float*, kTileBlocks * kLanes>;
  Prefetch rows_of(const ConvCall& call, const Group& group, int index, RowPointers& rows) const {
    const Pass pass = pass_of(call, group, index, passes_of(group));
    if (shape_.groups > 1 || pass.count == 0) return {};
    for (int i = group.first; i < group.end; ++i)
      rows[i - group.first] = shape_.row(call.open_out.channels[i]) + pass.wanted[0] * shape_.taps;
    const int floats = (pass.wanted[pass.count - 1] + 1 - pass.wanted[0]) * shape_.taps;
    return {rows.data(), group.end - group.first, blocks_of(floats) + 1};
  }

  // Behind a block there is room for what packing writes past its end, where others may be packing.
  size_t block_step(int channels) const { return channels * step_ + kLanes * kLanes; }

  float* gather_bias(const ConvCall& call, const Group& group, const Pass& pass, float* packed) const {
    float *bias = packed + group.blocks() * block_step(pass.count), *to = bias;
    for (int block = 0; block < group.blocks(); ++block)
      for (const int channel : lanes_of(call.open_out, group.first / kLanes + block)) *to++ = bias_[channel];
    return bias;
  }

  void multiply(RunState& state, const ConvCall& call, const Group& group, const Pass& pass, const float* packed,
                const float* bias, Span blocks, Span rows, const Prefetch& next) const {
    const size_t offset = group.first / kLanes * call.out.block;
    OuterConv c = {};
    c.in = call.in;
    c.out = call.out;
    c.out.data += offset;
    c.residual = call.residual == nullptr ? nullptr : call.residual + offset;
    c.window = window_;
    c.weights = packed;
    c.row_step = step_;
    c.block_step = block_step(pass.count);
    c.bias = bias;
    c.rows = whole_ ? call.open_in.channels : call.in_order;
    c.first_row = whole_ && pass.count > 0 ? pass.wanted[0] : pass.range.begin;
    c.in_begin = pass.range.begin;
    c.in_count = pass.range.count;
    c.blocks = call.in_order;
    c.block_begin = blocks.begin;
    c.block_end = blocks.end;
    c.row_begin = rows.begin;
    c.row_end = rows.end;
    c.clamp = call.clamp;
    c.next = next;
    c.large_l1 = state.large_l1;
    c.first = pass.first;
    c.last = pass.last;
    state.kernels.outer_conv(c);
  }

  void pack_block(RunState& state, const ConvCall& call, const Group& group, const Pass& pass, int block,
                  float* packed) const {
    const auto channels = lanes_of(call.open_out, group.first / kLanes + block);
    PackRows pack = {};
    for (int lane = 0; lane < kLanes; ++lane) {
      pack.rows[lane] = shape_.row(channels[lane]);
      pack.first[lane] = shape_.first_in(channels[lane]);
      pack.last[lane] = pack.first[lane] + shape_.per_group;
    }
    pack.channels = pass.wanted;
    pack.count = pass.count;
    pack.taps = shape_.taps;
    pack.out = packed + block * block_step(pass.count);
    state.kernels.pack_rows(pack);
  }

  Window window_;
  Floats bias_, weights_;
  ConvWeights shape_;
  ConvAlgorithmPtr rest_;  // of outputs that fill no block; null where it would need all inputs and has not got them
  int threads_, pass_, most_rest_ = 0;
  size_t step_;
  bool whole_, large_;
};

}  // namespace

ConvAlgorithmPtr make_packed(const Plan& plan, const OpSpec& op) { return std::make_unique<Packed>(plan, op); }

}  // namespace sluice
