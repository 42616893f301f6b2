#include <stdexcept>

#include "program.h"

namespace sluice {
namespace {

constexpr int kMaxChannels = 1 << 20, kMaxSide = 16384;
constexpr int kMaxStride = 4 * kMaxSide;  // a padded side is less than 3
constexpr size_t kMaxInputs = 4096;
constexpr int64_t kMaxElements = int64_t{1} << 26;

using Shape = std::vector<int>;

[[noreturn]] void refuse(const std::string& where, const std::string& rule) {
  throw std::invalid_argument(where + ": " + rule);
}

void require(bool rule, const OpSpec& op, const char* message) {
  if (!rule) refuse("op '" + op.name + "'", message);
}

void check_value(const ProgramSpec& program, size_t index) {
  const ValueSpec& value = program.values[index];
  const std::string where = "value " + std::to_string(index);
  if (value.shape.size() != 1 && (value.shape.size() != 3 || value.is_gate)) refuse(where, "shape has a wrong rank");
  if (value.shape[0] < 1 || value.shape[0] > kMaxChannels) refuse(where, "number of channels is out of range");
  int64_t elements = value.shape[0];
  for (size_t axis = 1; axis < value.shape.size(); ++axis) {
    if (value.shape[axis] < 1 || value.shape[axis] > kMaxSide) refuse(where, "side is out of range");
    elements *= value.shape[axis];
  }
  if (elements > kMaxElements) refuse(where, "has too many elements");
  if (value.gate == -1) return;
  if (value.is_gate || value.gate < 0 || value.gate >= static_cast<int>(program.values.size()))
    refuse(where, "gate is out of range");
  const ValueSpec& gate = program.values[value.gate];
  if (!gate.is_gate || gate.shape.size() != 1 || gate.shape[0] < 1 || value.shape[0] % gate.shape[0] != 0)
    refuse(where, "gate does not fit the channels");
}

// Walks the ops in order and knows what was written so far.
class Checker final {
 public:
  explicit Checker(const ProgramSpec& program) : program_(program), written_(program.values.size(), false) {}

  void run() {
    for (size_t i = 0; i < program_.values.size(); ++i) check_value(program_, i);
    check_end(program_.input, "input");
    check_end(program_.output, "output");
    written_[program_.input] = true;
    for (const OpSpec& op : program_.ops) check_op(op);
    for (const bool written : written_)
      if (!written) refuse("program", "a value is never written");
  }

 private:
  void check_end(int index, const char* end) const {
    if (index < 0 || index >= static_cast<int>(program_.values.size())) refuse(end, "is out of range");
    const ValueSpec& value = program_.values[index];
    if (value.is_gate || value.gate != -1) refuse(end, "must be a tensor without a gate");
    if (index == program_.input && !value.is_plane()) refuse(end, "must be a plane");
  }

  void check_op(const OpSpec& op) {
    for (const int input : op.inputs) require(is_written(input), op, "reads a value that is not written");
    require(op.when == -1 || (is_written(op.when) && is_flag(op.when)), op, "stands under what is no layer gate");
    const size_t most = op.kind == OpKind::add || op.kind == OpKind::concat ? kMaxInputs : 2;
    const size_t least = op.kind == OpKind::constant ? 0 : 1;
    require(op.inputs.size() >= least && op.inputs.size() <= most, op, "reads a wrong number of values");
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      const bool gate = i == 1 && (op.kind == OpKind::select || op.kind == OpKind::exit);
      require(value(op.inputs[i]).is_gate == gate, op, "reads a value of the wrong kind");
    }
    if (op.kind == OpKind::exit) return check_exit(op);
    require(op.output >= 0 && op.output < static_cast<int>(written_.size()), op, "output is out of range");
    require(!written_[op.output], op, "writes a value a second time");
    require(value(op.output).is_gate == (op.kind == OpKind::gate), op, "writes a value of the wrong kind");
    require(value(op.output).gate == -1 || written_[value(op.output).gate], op, "uses a gate that is not written");
    require(value(op.output).shape == output_shape(op), op, "output has another shape than the op gives");
    written_[op.output] = true;
  }

  void check_exit(const OpSpec& op) const {
    require(op.inputs.size() == 2 && is_flag(op.inputs[1]) && op.output == -1 && op.when == -1, op, "is no exit");
    require(value(op.inputs[0]).gate == -1, op, "ends with a gated value");
    require(value(op.inputs[0]).shape == value(program_.output).shape, op,
            "ends with another shape than the program");
  }

  Shape output_shape(const OpSpec& op) const {
    if (op.kind == OpKind::constant) return constant_shape(op);
    const ValueSpec& in = value(op.inputs[0]);
    const ValueSpec& out = value(op.output);
    switch (op.kind) {
      case OpKind::conv: return conv_shape(op, in);
      case OpKind::linear: return linear_shape(op, in);
      case OpKind::max_pool:
      case OpKind::avg_pool: return pool_shape(op, in, out);
      case OpKind::global_pool:
        require(op.inputs.size() == 1 && in.is_plane() && in.gate == out.gate, op, "is no global pool");
        return {in.channels()};
      case OpKind::add: return add_shape(op, out);
      case OpKind::concat: return concat_shape(op, out);
      case OpKind::activation:
        check_activation(op, "function");
        require(op.inputs.size() == 1 && in.gate == out.gate, op, "changes the gate");
        return in.shape;
      case OpKind::resize:
        require(op.inputs.size() == 1 && in.is_plane() && in.gate == out.gate, op, "is no resize");
        return {in.channels(), attribute(op, "size_y"), attribute(op, "size_x")};
      case OpKind::subsample: return subsample_shape(op, in, out);
      case OpKind::flatten:
        require(op.inputs.size() == 1 && in.gate == -1 && out.gate == -1, op, "is no flatten");
        require(in.shape.size() == 3 || in.shape.size() == 1, op, "is no flatten");
        return {in.channels() * in.height() * in.width()};
      case OpKind::select:
        require(op.inputs.size() == 2 && in.gate == -1 && out.gate == op.inputs[1], op, "is no select");
        return in.shape;
      case OpKind::lstm: return lstm_shape(op, in, out);
      case OpKind::slice:
        require(op.inputs.size() == 1 && in.shape.size() == 1 && in.gate == -1 && out.gate == -1, op, "is no slice");
        require(attribute(op, "size") >= 1 && attribute(op, "size") <= in.channels(), op, "size is out of range");
        return {attribute(op, "size")};
      case OpKind::gate:
        require(op.inputs.size() == 1 && in.shape.size() == 1 && in.gate == -1, op, "is no gate");
        require(attribute(op, "top_k") >= 0 && attribute(op, "top_k") <= in.channels(), op, "top_k is out of range");
        return in.shape;
      case OpKind::scale: return scale_shape(op, in, out);
      case OpKind::constant:
      case OpKind::exit: break;
    }
    refuse("op '" + op.name + "'", "is of an unknown kind");
  }

  Shape conv_shape(const OpSpec& op, const ValueSpec& in) const {
    const auto& weight = op.weight.shape;
    const int groups = attribute(op, "groups");
    check_activation(op, "activation");
    require(in.is_plane() && weight.size() == 4 && op.weight.data != nullptr, op, "needs a plane and a weight");
    for (const int64_t side : weight) require(side >= 1 && side <= kMaxChannels, op, "weight is out of range");
    require(groups >= 1 && weight[1] * groups == in.channels() && weight[0] % groups == 0, op, "groups do not fit");
    check_bias(op, weight[0]);
    Shape shape = {static_cast<int>(weight[0]), 0, 0};
    shape[1] = windows(op, in.height(), static_cast<int>(weight[2]), "y", "dilation_y");
    shape[2] = windows(op, in.width(), static_cast<int>(weight[3]), "x", "dilation_x");
    if (op.inputs.size() == 2) {
      require(value(op.inputs[1]).shape == shape, op, "residual has another shape");
      require(value(op.inputs[1]).gate == value(op.output).gate, op, "residual has another gate");
    }
    return shape;
  }

  Shape linear_shape(const OpSpec& op, const ValueSpec& in) const {
    const auto& weight = op.weight.shape;
    check_activation(op, "activation");
    require(op.inputs.size() == 1 && weight.size() == 2 && op.weight.data != nullptr, op, "needs a weight");
    require(weight[0] >= 1 && weight[0] <= kMaxChannels, op, "weight is out of range");
    require(in.shape.size() == 1 && weight[1] == in.channels(), op, "weight does not fit its input");
    require(value(op.output).gate == -1, op, "writes a gated value");
    check_bias(op, weight[0]);
    return {static_cast<int>(weight[0])};
  }

  Shape lstm_shape(const OpSpec& op, const ValueSpec& in, const ValueSpec& out) const {
    const auto& weight = op.weight.shape;
    require(weight.size() == 2 && op.weight.data != nullptr && weight[0] % 4 == 0, op, "needs a weight");
    require(weight[0] >= 4 && weight[0] <= kMaxChannels, op, "weight is out of range");
    const int hidden = static_cast<int>(weight[0] / 4);
    require(in.shape.size() == 1 && in.gate == -1 && out.gate == -1, op, "reads no plain vector");
    if (op.inputs.size() == 2) {
      const ValueSpec& state = value(op.inputs[1]);
      require(state.shape == Shape{2 * hidden} && state.gate == -1, op, "state does not fit");
    }
    require(weight[1] == in.channels() + (op.inputs.size() == 2 ? hidden : 0), op, "weight does not fit its input");
    check_bias(op, weight[0]);
    return {2 * hidden};
  }

  Shape constant_shape(const OpSpec& op) const {
    const auto& bias = op.bias.shape;
    require(op.inputs.empty() && op.bias.data != nullptr && bias.size() == 1, op, "needs a bias");
    require(bias[0] >= 1 && bias[0] <= kMaxChannels, op, "bias is out of range");
    require(value(op.output).gate == -1, op, "writes a gated value");
    return {static_cast<int>(bias[0])};
  }

  Shape scale_shape(const OpSpec& op, const ValueSpec& in, const ValueSpec& out) const {
    require(op.inputs.size() == 2 && in.gate == out.gate, op, "is no scale");
    const ValueSpec& factors = value(op.inputs[1]);
    require(factors.shape.size() == 1 && factors.gate == -1 && in.channels() % factors.channels() == 0, op,
            "factors do not fit the channels");
    return in.shape;
  }

  Shape pool_shape(const OpSpec& op, const ValueSpec& in, const ValueSpec& out) const {
    require(op.inputs.size() == 1 && in.is_plane() && in.gate == out.gate, op, "is no pool");
    const int kernel[2] = {attribute(op, "kernel_y"), attribute(op, "kernel_x")};
    const Shape shape = {in.channels(), windows(op, in.height(), kernel[0], "y", nullptr),
                         windows(op, in.width(), kernel[1], "x", nullptr)};
    require(2 * attribute(op, "padding_y") <= kernel[0] && 2 * attribute(op, "padding_x") <= kernel[1], op,
            "padding is more than half the kernel");
    return shape;
  }

  Shape add_shape(const OpSpec& op, const ValueSpec& out) const {
    check_activation(op, "activation");
    require(op.inputs.size() >= 2, op, "adds fewer than two values");
    for (const int input : op.inputs) {
      require(value(input).shape == value(op.inputs[0]).shape, op, "adds values of different shapes");
      require(out.gate == -1 || out.gate == value(input).gate, op, "adds values of different gates");
    }
    return value(op.inputs[0]).shape;
  }

  Shape concat_shape(const OpSpec& op, const ValueSpec& out) const {
    require(out.gate == -1, op, "writes a gated value");
    int64_t channels = 0;
    for (const int input : op.inputs) {
      const ValueSpec& part = value(input);
      require(part.is_plane() && part.height() == value(op.inputs[0]).height() &&
                  part.width() == value(op.inputs[0]).width(),
              op, "joins planes of different sizes");
      channels += part.channels();
    }
    require(channels <= kMaxChannels, op, "joins too many channels");
    return {static_cast<int>(channels), value(op.inputs[0]).height(), value(op.inputs[0]).width()};
  }

  Shape subsample_shape(const OpSpec& op, const ValueSpec& in, const ValueSpec& out) const {
    const int stride = attribute(op, "stride"), before = attribute(op, "before"), after = attribute(op, "after");
    require(op.inputs.size() == 1 && in.is_plane() && in.gate == -1 && out.gate == -1, op, "is no subsample");
    require(stride >= 1 && stride <= kMaxStride && before >= 0 && before <= kMaxChannels && after >= 0 &&
                after <= kMaxChannels,
            op, "stride or added channels are out of range");
    return {before + in.channels() + after, (in.height() - 1) / stride + 1, (in.width() - 1) / stride + 1};
  }

  // How many windows fit along one side, `axis` "y" or "x".
  int windows(const OpSpec& op, int side, int kernel, const char* axis, const char* dilated) const {
    const int stride = attribute(op, (std::string("stride_") + axis).c_str());
    const int padding = attribute(op, (std::string("padding_") + axis).c_str());
    const int dilation = dilated == nullptr ? 1 : attribute(op, dilated);
    require(stride >= 1 && stride <= kMaxStride && dilation >= 1 && kernel >= 1, op, "window is out of range");
    const int64_t reach = int64_t{kernel - 1} * dilation + 1;
    require(padding >= 0 && padding < reach && reach <= kMaxSide && side + 2 * padding >= reach, op,
            "window does not fit the plane");
    const int room = side + 2 * padding - static_cast<int>(reach);
    int count = room / stride + 1;
    const auto ceil = op.attributes.find("ceil");
    if (ceil != op.attributes.end() && ceil->second != 0 && room % stride != 0 &&
        int64_t{count} * stride < side + padding)
      ++count;
    return count;
  }

  void check_activation(const OpSpec& op, const char* name) const {
    const int function = attribute(op, name);
    require(function >= 0 && function < kActivations, op, "activation is unknown");
  }

  void check_bias(const OpSpec& op, int64_t out) const {
    const bool none = op.bias.data == nullptr;
    require(none || (op.bias.shape.size() == 1 && op.bias.shape[0] == out), op, "bias has another shape");
  }

  const ValueSpec& value(int index) const { return program_.values[index]; }
  bool is_written(int index) const {
    return index >= 0 && index < static_cast<int>(written_.size()) && written_[index];
  }
  bool is_flag(int index) const { return value(index).is_gate && value(index).shape == Shape{1}; }

  const ProgramSpec& program_;
  std::vector<bool> written_;
};

}  // namespace

void check_program(const ProgramSpec& program) { Checker(program).run(); }

int attribute(const OpSpec& op, const char* name) {
  const auto found = op.attributes.find(name);
  if (found == op.attributes.end()) refuse("op '" + op.name + "'", std::string("lacks attribute ") + name);
  return found->second;
}

}  // namespace sluice
