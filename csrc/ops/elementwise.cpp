// Ops that move or combine values without multiplying channels. Every one of them writes whole blocks of 16
// lanes of an ungated value: the inner-product kernel reads the lanes past the last channel, with zero
// weights, and a NaN that an earlier image left there would come through.
#include <algorithm>

#include "operator.h"

namespace sluice {
namespace {

// Runs f(block, y) over all rows of the first `blocks` blocks, shared among the threads.
template <class F>
void for_rows(Run& run, const View& view, int blocks, const F& f) {
  run.pool.run(blocks, [&](int block, int) {
    for (int y = 0; y < view.height; ++y) f(block, y);
  });
}

float* row_of(const View& view, int block, int y) { return view.data + block * view.block + y * view.row; }

float* lane_of(const View& view, int channel, int y) { return row_of(view, channel / kLanes, y) + channel % kLanes; }

void clear(Run& run, const View& view, int blocks) {
  for_rows(run, view, blocks,
           [&](int block, int y) { std::fill_n(row_of(view, block, y), view.width * kLanes, 0.0f); });
}

class Load final : public Operator {
 public:
  explicit Load(const Plan& plan) : value_(plan.program().input), channels_(plan.value(value_).channels()) {}

  void run(Run& run) const override {
    const View& to = run.views[value_];
    clear(run, to, blocks_of(channels_));
    const float* in = run.image;
    for (int c = 0; c < channels_; ++c)
      for (int y = 0; y < to.height; ++y) {
        float* out = lane_of(to, c, y);
        for (int x = 0; x < to.width; ++x) out[x * kLanes] = *in++;
      }
  }

 private:
  int value_, channels_;
};

class Add final : public Operator {
 public:
  Add(const Plan& plan, const OpSpec& op)
      : inputs_(op.inputs),
        out_(op.output),
        activation_(applied(static_cast<Activation>(attribute(op, "activation")))) {
    same_channels_ = std::all_of(inputs_.begin(), inputs_.end(),
                                 [&](int input) { return plan.list_of(input) == plan.list_of(out_); });
  }

  void run(Run& run) const override {
    std::vector<int> present;
    std::copy_if(inputs_.begin(), inputs_.end(), std::back_inserter(present), [&](int v) { return run.present[v]; });
    const View& out = run.views[out_];
    const int blocks = blocks_of(run.open(out_).count);
    if (same_channels_ && !present.empty())
      add_rows(run, present, out, blocks);
    else
      scatter(run, present, out, blocks);
    apply_curve(run, activation_, out, blocks);
  }

 private:
  void add_rows(Run& run, const std::vector<int>& present, const View& out, int blocks) const {
    const size_t count = static_cast<size_t>(out.width) * kLanes;
    const Clamp open = applied(Activation::none).clamp;
    const size_t last = std::max<size_t>(present.size(), 2) - 1;
    for_rows(run, out, blocks, [&](int block, int y) {
      const float* sum = row_of(run.views[present[0]], block, y);
      for (size_t i = 1; i <= last; ++i) {
        const float* other = i < present.size() ? row_of(run.views[present[i]], block, y) : nullptr;
        run.kernels.elementwise({sum, other, row_of(out, block, y), count, i == last ? activation_.clamp : open});
        sum = row_of(out, block, y);
      }
    });
  }

  // Inputs that store different channels go to their places one by one.
  void scatter(Run& run, const std::vector<int>& present, const View& out, int blocks) const {
    clear(run, out, blocks);
    for (const int input : present) {
      const OpenList open = run.open(input);
      for (int i = 0; i < open.count; ++i)
        for (int y = 0; y < out.height; ++y) {
          const float* from = lane_of(run.views[input], i, y);
          float* to = lane_of(out, open.channels[i], y);
          for (int x = 0; x < out.width; ++x) to[x * kLanes] += from[x * kLanes];
        }
    }
    for_rows(run, out, blocks, [&](int block, int y) {
      float* row = row_of(out, block, y);
      run.kernels.elementwise({row, nullptr, row, static_cast<size_t>(out.width) * kLanes, activation_.clamp});
    });
  }

  std::vector<int> inputs_;
  int out_;
  Applied activation_;
  bool same_channels_;
};

class Concat final : public Operator {
 public:
  Concat(const Plan& plan, const OpSpec& op) : inputs_(op.inputs), out_(op.output) {
    for (const int input : inputs_) channels_.push_back(plan.value(input).channels());
  }

  void run(Run& run) const override {
    const View& out = run.views[out_];
    clear(run, out, blocks_of(run.open(out_).count));
    int first = 0;
    for (size_t part = 0; part < inputs_.size(); first += channels_[part++]) {
      const OpenList open = run.open(inputs_[part]);
      const View& in = run.views[inputs_[part]];
      run.pool.run(out.height, [&](int y, int) {
        for (int i = 0; i < open.count; ++i) {
          const float* from = lane_of(in, i, y);
          float* to = lane_of(out, first + open.channels[i], y);
          for (int x = 0; x < out.width; ++x) to[x * kLanes] = from[x * kLanes];
        }
      });
    }
  }

 private:
  std::vector<int> inputs_, channels_;
  int out_;
};

class Activate final : public Operator {
 public:
  explicit Activate(const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        activation_(applied(static_cast<Activation>(attribute(op, "function")))) {}

  void run(Run& run) const override {
    const View &in = run.views[in_], &out = run.views[out_];
    const int blocks = blocks_of(run.open(in_).count);
    for_rows(run, out, blocks, [&](int block, int y) {
      run.kernels.elementwise({row_of(in, block, y), nullptr, row_of(out, block, y),
                               static_cast<size_t>(out.width) * kLanes, activation_.clamp});
    });
    apply_curve(run, activation_, out, blocks);
  }

 private:
  int in_, out_;
  Applied activation_;
};

// Bilinear, as torch.nn.functional.interpolate defines it; neighbours and shares are known at load.
class Resize final : public Operator {
 public:
  Resize(const Plan& plan, const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {
    const bool align = attribute(op, "align_corners") != 0;
    const ValueSpec &in = plan.value(in_), &out = plan.value(out_);
    rows_ = taps(in.height(), out.height(), align);
    columns_ = taps(in.width(), out.width(), align);
  }

  void run(Run& run) const override {
    const View &in = run.views[in_], &out = run.views[out_];
    for_rows(run, out, blocks_of(run.open(in_).count), [&](int block, int y) {
      const float *upper = row_of(in, block, rows_[y].low), *lower = row_of(in, block, rows_[y].high);
      float* to = row_of(out, block, y);
      for (int x = 0; x < out.width; ++x, to += kLanes) {
        const Tap& tap = columns_[x];
        for (int lane = 0; lane < kLanes; ++lane) {
          const float top = mix(upper[tap.low * kLanes + lane], upper[tap.high * kLanes + lane], tap.share);
          const float bottom = mix(lower[tap.low * kLanes + lane], lower[tap.high * kLanes + lane], tap.share);
          to[lane] = mix(top, bottom, rows_[y].share);
        }
      }
    });
  }

 private:
  struct Tap {
    int low, high;
    float share;  // of the higher neighbour
  };

  static float mix(float a, float b, float share) { return a * (1.0f - share) + b * share; }

  static std::vector<Tap> taps(int side, int size, bool align) {
    std::vector<Tap> result(size);
    for (int i = 0; i < size; ++i) {
      const double aligned = size > 1 ? i * (static_cast<double>(side - 1) / (size - 1)) : 0.0;
      const double centred = std::max((i + 0.5) * (static_cast<double>(side) / size) - 0.5, 0.0);
      const double position = align ? aligned : centred;
      const int low = std::min(static_cast<int>(position), side - 1);
      result[i] = {low, std::min(low + 1, side - 1), static_cast<float>(position - low)};
    }
    return result;
  }

  int in_, out_;
  std::vector<Tap> rows_, columns_;
};

// Every stride-th pixel, zero channels before and after: the shortcut "A" of CIFAR ResNets.
class Subsample final : public Operator {
 public:
  Subsample(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        stride_(attribute(op, "stride")),
        before_(attribute(op, "before")),
        channels_(plan.value(in_).channels()),
        blocks_(blocks_of(plan.value(out_).channels())) {}

  void run(Run& run) const override {
    const View &in = run.views[in_], &out = run.views[out_];
    clear(run, out, blocks_);
    run.pool.run(out.height, [&](int y, int) {
      for (int c = 0; c < channels_; ++c) {
        const float* from = lane_of(in, c, y * stride_);
        float* to = lane_of(out, before_ + c, y);
        for (int x = 0; x < out.width; ++x) to[x * kLanes] = from[static_cast<size_t>(x) * stride_ * kLanes];
      }
    });
  }

 private:
  int in_, out_, stride_, before_, channels_, blocks_;
};

class Flatten final : public Operator {
 public:
  Flatten(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        out_(op.output),
        channels_(plan.value(in_).channels()),
        features_(plan.value(out_).channels()) {}

  void run(Run& run) const override {
    float* out = run.views[out_].data;
    unpack(run.views[in_], channels_, out);
    std::fill(out + features_, out + blocks_of(features_) * kLanes, 0.0f);
  }

 private:
  int in_, out_, channels_, features_;
};

class Slice final : public Operator {
 public:
  Slice(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]), out_(op.output), features_(plan.value(out_).channels()) {}

  void run(Run& run) const override {
    float* out = run.views[out_].data;
    std::copy_n(run.views[in_].data, features_, out);
    std::fill(out + features_, out + blocks_of(features_) * kLanes, 0.0f);
  }

 private:
  int in_, out_, features_;
};

// The open channels of an ungated value, side by side.
class Select final : public Operator {
 public:
  explicit Select(const OpSpec& op) : in_(op.inputs[0]), out_(op.output) {}

  void run(Run& run) const override {
    const OpenList open = run.open(out_);
    const View &in = run.views[in_], &out = run.views[out_];
    run.pool.run(out.height, [&](int y, int) {
      for (int i = 0; i < open.count; ++i) {
        const float* from = lane_of(in, open.channels[i], y);
        float* to = lane_of(out, i, y);
        for (int x = 0; x < out.width; ++x) to[x * kLanes] = from[x * kLanes];
      }
    });
  }

 private:
  int in_, out_;
};

// The same vector for every image.
class Constant final : public Operator {
 public:
  explicit Constant(const OpSpec& op) : out_(op.output) {
    values_.assign(blocks_of(static_cast<int>(op.bias.shape[0])) * kLanes, 0.0f);
    std::copy_n(op.bias.data, op.bias.shape[0], values_.begin());
  }
  void run(Run& run) const override { std::copy(values_.begin(), values_.end(), run.views[out_].data); }

 private:
  int out_;
  std::vector<float> values_;
};

// Each stored channel times its factor.
class Scale final : public Operator {
 public:
  Scale(const Plan& plan, const OpSpec& op)
      : in_(op.inputs[0]),
        factors_(op.inputs[1]),
        out_(op.output),
        repeat_(plan.value(in_).channels() / plan.value(factors_).channels()) {}

  void run(Run& run) const override {
    const OpenList open = run.open(in_);
    const View &in = run.views[in_], &out = run.views[out_];
    const float* factors = run.views[factors_].data;
    run.pool.run(blocks_of(open.count), [&](int block, int) {
      const int stored = std::min(kLanes, open.count - block * kLanes);
      float lanes[kLanes] = {};
      for (int i = 0; i < stored; ++i) lanes[i] = factors[open.channels[block * kLanes + i] / repeat_];
      for (int y = 0; y < out.height; ++y) {
        const float* from = row_of(in, block, y);
        float* to = row_of(out, block, y);
        for (int x = 0; x < out.width; ++x, from += kLanes, to += kLanes)
          for (int lane = 0; lane < kLanes; ++lane) to[lane] = lane < stored ? from[lane] * lanes[lane] : 0.0f;
      }
    });
  }

 private:
  int in_, factors_, out_, repeat_;
};

}  // namespace

OperatorPtr make_load(const Plan& plan) { return std::make_unique<Load>(plan); }

OperatorPtr make_elementwise(const Plan& plan, const OpSpec& op) {
  switch (op.kind) {
    case OpKind::add: return std::make_unique<Add>(plan, op);
    case OpKind::concat: return std::make_unique<Concat>(plan, op);
    case OpKind::activation: return std::make_unique<Activate>(op);
    case OpKind::resize: return std::make_unique<Resize>(plan, op);
    case OpKind::subsample: return std::make_unique<Subsample>(plan, op);
    case OpKind::flatten: return std::make_unique<Flatten>(plan, op);
    case OpKind::slice: return std::make_unique<Slice>(plan, op);
    case OpKind::constant: return std::make_unique<Constant>(op);
    case OpKind::scale: return std::make_unique<Scale>(plan, op);
    default: return std::make_unique<Select>(op);
  }
}

}  // namespace sluice
