#include "conv.h"

#include <algorithm>

namespace sluice {
namespace {

// An inner product sums its lanes for every pixel; packing is paid once for all pixels, and pays from so many rows of
// the output on.
constexpr int kPackedRows = 15;

class Conv final : public Operator, public RowWise {
 public:
  Conv(const Plan& plan, const OpSpec& op, Ways ways)
      : in_(op.inputs[0]),
        out_(op.output),
        residual_(op.inputs.size() == 2 ? op.inputs[1] : -1),
        groups_(attribute(op, "groups")),
        counted_(attribute(op, "counted") != 0),
        window_(window_of(op)),
        function_(static_cast<Activation>(attribute(op, "activation"))),
        activation_(applied(function_)),
        settled_(residual_ != -1 && plan.is_settled(residual_, function_)),
        pairs_(int64_t{plan.value(in_).channels()} * plan.value(out_).channels()) {
    const bool first_winograd = ways.winograd && pays_winograd(plan, op);
    candidates_.push_back(first_winograd ? make_winograd(plan, op) : make_direct(plan, op));
    if (ways.all && ways.winograd && is_winograd_shape(op) && !is_stem(plan.program(), op))
      candidates_.push_back(first_winograd ? make_direct(plan, op) : make_winograd(plan, op));
  }

  size_t scratch_floats() const override {
    size_t most = 0;
    for (const ConvAlgorithmPtr& candidate : candidates_) most = std::max(most, candidate->scratch_floats());
    return most;
  }

  void link_pages(std::vector<const float*>& wanted) override { pages_.swap(wanted); }

  int candidates() const override { return static_cast<int>(candidates_.size()); }
  void pick(int eighths, int candidate) override { picks_[eighths] = candidate; }

  void run(Run& run) const override {
    const ConvCall call = call_of(run, run.views[in_], run.views[out_]);
    count(run);
    if (call.open_out.count == 0) return;
    candidates_[picks_[eighths_of(call)]]->run(run, call);
    apply_curve(run, activation_, call.out, blocks_of(call.open_out.count));
  }

  const RowWise* row_wise() const override {
    const bool plain = residual_ == -1 && !activation_.curved && candidates_.size() == 1;
    return plain && candidates_[0]->row_wise() != nullptr ? this : nullptr;
  }
  void run_rows(Run& run, const View& in, const View& out, Span rows, int thread) const override {
    candidates_[0]->row_wise()->run_rows(run, call_of(run, in, out), rows, thread);
  }
  Window window() const override { return window_; }

  void count(Run& run) const override {
    if (!counted_) return;
    const OpenList in = run.open(in_), out = run.open(out_);
    int64_t pairs = int64_t{in.count} * out.count;
    if (groups_ > 1) {
      pairs = 0;
      const int per_in = run.plan.value(in_).channels() / groups_,
                per_out = run.plan.value(out_).channels() / groups_;
      for (int i = 0, o = 0, group = 0; group < groups_; ++group) {
        int64_t ins = 0, outs = 0;
        for (; i < in.count && in.channels[i] / per_in == group; ++i) ++ins;
        for (; o < out.count && out.channels[o] / per_out == group; ++o) ++outs;
        pairs += ins * outs;
      }
    }
    run.macs += pairs * window_.height * window_.width * run.views[out_].height * run.views[out_].width;
  }

  // What is left is the residual, through the activation; often it lies where it is wanted already.
  void skip(Run& run) const override {
    if (residual_ == -1) return;
    run.present[out_] = run.present[residual_];
    const View &from = run.views[residual_], &to = run.views[out_];
    const bool in_place = from.data == to.data;
    if (in_place && settled_) return;
    const int blocks = blocks_of(run.open(out_).count);
    run.pool.run(blocks, [&](int block, int) {
      for (int y = 0; y < to.height; ++y) {
        const size_t at = block * to.block + y * to.row;
        run.kernels.elementwise(
            {from.data + at, nullptr, to.data + at, static_cast<size_t>(to.width) * kLanes, activation_.clamp});
      }
    });
    apply_curve(run, activation_, to, blocks);
  }

 private:
  ConvCall call_of(Run& run, const View& in, const View& out) const {
    const float* residual = residual_ == -1 ? nullptr : run.views[residual_].data;
    const Prefetch meanwhile = {pages_.data(), static_cast<int>(pages_.size()), kPageLines};
    return {in, out, residual, run.open(in_), run.open(out_), run.in_order(), activation_.clamp, meanwhile};
  }

  // How much is open, rounded to eighths. Groups have one candidate, so that pairs across groups do no harm.
  int eighths_of(const ConvCall& call) const {
    const int64_t open = int64_t{call.open_in.count} * call.open_out.count;
    return static_cast<int>((kEighths * open + pairs_ / 2) / pairs_);
  }

  static ConvAlgorithmPtr make_direct(const Plan& plan, const OpSpec& op) {
    const ValueSpec &in = plan.value(op.inputs[0]), &out = plan.value(op.output);
    const int groups = attribute(op, "groups");
    if (is_stem(plan.program(), op)) return make_stem(plan, op);
    if (groups > 1 && groups == in.channels() && groups == out.channels() && in.gate == out.gate &&
        op.inputs.size() == 1)
      return make_depthwise(plan, op);
    const bool whole_blocks = out.gate == -1 || out.channels() / plan.value(out.gate).channels() % kLanes == 0;
    if (groups > 1) return out.gate == -1 ? make_grouped(op) : make_packed(plan, op);
    if (whole_blocks) return make_outer(op);
    const bool single_tap = op.weight.shape[2] * op.weight.shape[3] == 1;
    if (in.gate == -1 && !single_tap && op.inputs.size() == 1 && out.height() < kPackedRows) return make_inner(op);
    return make_packed(plan, op);
  }

  // Winograd's transforms must be worth their while: enough channels to share them, enough pixels to share
  // weights that are four times as many.
  static bool pays_winograd(const Plan& plan, const OpSpec& op) {
    const ValueSpec &in = plan.value(op.inputs[0]), &out = plan.value(op.output);
    if (!is_winograd_shape(op) || is_stem(plan.program(), op)) return false;
    return std::min(in.channels(), out.channels()) >= 16 && std::min(in.height(), in.width()) >= 10;
  }

  int in_, out_, residual_, groups_;
  bool counted_;
  Window window_;
  Activation function_;
  Applied activation_;
  bool settled_;
  int64_t pairs_;
  std::vector<ConvAlgorithmPtr> candidates_;
  int picks_[kEighths + 1] = {};
  std::vector<const float*> pages_;
};

}  // namespace

ConvWeights::ConvWeights(const OpSpec& op)
    : data(op.weight.data),
      out(static_cast<int>(op.weight.shape[0])),
      per_group(static_cast<int>(op.weight.shape[1])),
      taps(static_cast<int>(op.weight.shape[2] * op.weight.shape[3])),
      groups(attribute(op, "groups")) {}

Range entries_between(const OpenList& list, int low, int high) {
  const int32_t* end = list.channels + list.count;
  const int32_t* first = std::lower_bound(list.channels, end, low);
  return {static_cast<int>(first - list.channels), static_cast<int>(std::lower_bound(first, end, high) - first)};
}

std::array<int, kLanes> lanes_of(const OpenList& open, int block) {
  std::array<int, kLanes> channels;
  for (int lane = 0; lane < kLanes; ++lane)
    channels[lane] = open.channels[std::min(block * kLanes + lane, open.count - 1)];
  return channels;
}

Floats padded_bias(const OpSpec& op) {
  const int out = static_cast<int>(op.weight.shape[0]);
  Floats bias = make_floats(static_cast<size_t>(blocks_of(out)) * kLanes);
  if (op.bias.data != nullptr) std::copy_n(op.bias.data, out, bias.get());
  return bias;
}

Shares::Shares(int threads, int rows, int units, int units_per_tile, int taps) : rows(rows), units(units) {
  by_rows = rows >= many_rows(taps) || units < threads * units_per_tile / 2 + 1;
  // Twice as many chunks as threads evens out a core that was taken away. Units are not cut as finely, since nobody
  // has fetched the first weights of a chunk.
  const int fine = threads == 1 && taps != 1 ? 1 : 2 * threads;
  const int wanted = !by_rows ? threads : taps == 1 ? std::clamp(rows / 14, threads, 2 * fine) : fine;
  chunks = std::max(1, std::min(wanted, by_rows ? rows : units));
}

OperatorPtr make_conv(const Plan& plan, const OpSpec& op, Ways ways) {
  return std::make_unique<Conv>(plan, op, ways);
}

}  // namespace sluice
