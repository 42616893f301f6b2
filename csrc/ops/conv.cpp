// Convolution: which algorithm runs depends on what its gates leave open.
#include <algorithm>

#include "activations.h"
#include "convolution/algorithms.h"
#include "rules.h"

namespace sluice {
namespace {

// An inner product sums its lanes for every pixel; packing is paid once for all pixels, and pays from so many rows of
// the output on: at 8x8 0.97 of the time on AVX2 and 1.0 on AVX-512 (Zen 4, ResNet-20), at 7x7 1.04 on AVX-512.
constexpr int kPackedRows = 8;

class Conv final : public Operator, public RowWise {
 public:
  Conv(const Plan& plan, const OpSpec& op, Ways ways)
      : in_(op.inputs[0]),
        out_(op.output),
        residual_(op.inputs.size() == 2 ? op.inputs[1] : -1),
        groups_(integer(op, "groups")),
        counted_(integer(op, "counted") != 0),
        window_(window_of(op)),
        activation_(applied(op)),
        settled_(residual_ != -1 && plan.is_settled(residual_, text(op, "activation"))),
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

  void run(RunState& state) const override {
    const ConvCall call = call_of(state, state.views[in_], state.views[out_]);
    count(state);
    if (call.open_out.count == 0) return;
    candidates_[picks_[eighths_of(call)]]->run(state, call);
    apply_curve(state, activation_, call.out, blocks_of(call.open_out.count));
  }

  const RowWise* row_wise() const override {
    const bool plain = residual_ == -1 && !activation_.curved && candidates_.size() == 1;
    return plain && candidates_[0]->row_wise() != nullptr ? this : nullptr;
  }
  void run_rows(RunState& state, const View& in, const View& out, Span rows, int thread) const override {
    candidates_[0]->row_wise()->run_rows(state, call_of(state, in, out), rows, thread);
  }
  Window window() const override { return window_; }

  void count(RunState& state) const override {
    if (!counted_) return;
    const OpenList in = state.open(in_), out = state.open(out_);
    const int64_t pairs = groups_ == 1 ? int64_t{in.count} * out.count
                                       : pairs_of(in, out, state.plan.value(in_).channels() / groups_,
                                                  state.plan.value(out_).channels() / groups_);
    state.macs += pairs * window_.height * window_.width * state.views[out_].height * state.views[out_].width;
  }

  // What is left is the residual, through the activation; often it lies where it is wanted already.
  void skip(RunState& state) const override {
    if (residual_ == -1 || !state.present[residual_]) return;
    state.present[out_] = 1;
    const View &from = state.views[residual_], &to = state.views[out_];
    const bool in_place = from.data == to.data;
    if (in_place && settled_) return;
    const int blocks = blocks_of(state.open(out_).count);
    state.pool.run(blocks, [&](int block, int) {
      for (int y = 0; y < to.height; ++y) {
        const size_t at = block * to.block + y * to.row;
        state.kernels.elementwise(
            {from.data + at, nullptr, to.data + at, static_cast<size_t>(to.width) * kLanes, activation_.clamp});
      }
    });
    apply_curve(state, activation_, to, blocks);
  }

 private:
  ConvCall call_of(RunState& state, const View& in, const View& out) const {
    ConvCall call = {};
    call.in = in;
    call.out = out;
    call.residual = residual_ == -1 ? nullptr : state.views[residual_].data;
    call.open_in = state.open(in_);
    call.open_out = state.open(out_);
    call.in_order = state.in_order();
    call.clamp = activation_.clamp;
    call.meanwhile = {pages_.data(), static_cast<int>(pages_.size()), kPageLines};
    return call;
  }

  // How much is open, rounded to eighths. Groups have one candidate, so that pairs across groups do no harm.
  int eighths_of(const ConvCall& call) const {
    const int64_t open = int64_t{call.open_in.count} * call.open_out.count;
    return static_cast<int>((kEighths * open + pairs_ / 2) / pairs_);
  }

  static ConvAlgorithmPtr make_direct(const Plan& plan, const OpSpec& op) {
    const ValueSpec &in = plan.value(op.inputs[0]), &out = plan.value(op.output);
    const int groups = integer(op, "groups");
    if (is_stem(plan.program(), op)) return make_stem(plan, op);
    if (groups > 1 && groups == in.channels() && groups == out.channels() &&
        plan.list_of(op.inputs[0]) == plan.list_of(op.output) && op.inputs.size() == 1)
      return make_depthwise(plan, op);
    if (groups > 1) return plan.is_gated(op.output) ? make_packed(plan, op) : make_grouped(op);
    if (plan.has_whole_blocks(op.output)) return make_outer(op);
    const bool single_tap = op.weight.shape[2] * op.weight.shape[3] == 1;
    if (!plan.is_gated(op.inputs[0]) && !single_tap && op.inputs.size() == 1 && out.height() < kPackedRows)
      return make_inner(op);
    return make_packed(plan, op);
  }

  // Winograd's transforms must be worth their while: enough channels to share them, enough pixels to share
  // weights that are four times as many. Measured on Zen 4, AVX2 and AVX-512, one thread and two, over the direct
  // time: 32x32 and 16x16 with 4 channels 0.97 to 1.6, with 8 0.67 to 0.89, with 16 0.53 to 0.65; 8x8 with 8 channels
  // 0.96 to 1.04, with 12 0.84 to 0.93, with 64 0.64 to 0.70. 7x7 with 64 channels takes 0.75 to 0.92, but with 512,
  // whose weights do not stay in a cache, up to 1.2.
  static bool pays_winograd(const Plan& plan, const OpSpec& op) {
    const ValueSpec &in = plan.value(op.inputs[0]), &out = plan.value(op.output);
    if (!is_winograd_shape(op) || is_stem(plan.program(), op)) return false;
    const int channels = std::min(in.channels(), out.channels()), side = std::min(in.height(), in.width());
    return (channels >= 8 && side >= 10) || (channels >= 12 && side >= 8);
  }

  int in_, out_, residual_, groups_;
  bool counted_;
  Window window_;
  Applied activation_;
  bool settled_;
  int64_t pairs_;
  std::vector<ConvAlgorithmPtr> candidates_;
  int picks_[kEighths + 1] = {};
  std::vector<const float*> pages_;
};

Shape check(const Rules& rules) {
  const OpSpec& op = rules.op;
  rules.reads(1, 2);
  rules.weight(4);
  const ValueSpec& in = rules.plane();
  const int groups = rules.between(1, kMaxChannels, "groups");
  const int64_t out = rules.weight_side(0);
  rules.require(rules.weight_side(1) * groups == in.channels() && out % groups == 0, "groups do not fit");
  rules.bias(out);
  rules.flag("counted");
  applied(op);
  Shape shape = {static_cast<int>(out), 0, 0};
  const int extra[2] = {integer(op, "extra_padding_y"), integer(op, "extra_padding_x")};
  shape[1] = rules.windows(in.height(), rules.weight_side(2), "y", integer(op, "dilation_y"), extra[0], false);
  shape[2] = rules.windows(in.width(), rules.weight_side(3), "x", integer(op, "dilation_x"), extra[1], false);
  rules.out();
  if (op.inputs.size() == 2) {
    rules.require(rules.in(1).shape == shape, "residual has another shape");
    rules.same_map(1);
  }
  return shape;
}

OperatorPtr make(const Making& making) { return std::make_unique<Conv>(making.plan, making.op, making.ways); }

// Winograd reads whole tiles of 4 and a border of one pixel, so the far border reaches up to 3 pixels further.
Reading reading(const ProgramSpec& program, const OpSpec& op) {
  if (is_stem(program, op)) return {0, 0, true};
  const Window w = window_of(op);
  const int extra = std::max({w.extra_y, w.extra_x, 0});
  return {std::max(w.pad_y, w.pad_x), is_winograd_shape(op) ? 3 : extra, false};
}

int stand_in(const OpSpec& op) { return op.inputs.size() == 2 ? op.inputs[1] : -1; }

}  // namespace

extern const OpRoom conv_room;
const OpRoom conv_room = {"conv", check, make, reading, stand_in};

}  // namespace sluice
