// Runs ops that follow each other over large planes strip by strip: a few rows of the last op's output, and for each op
// before it the rows that these need and that are not computed yet. So the values between two ops stay in the core's
// own cache; a whole plane would go to the shared cache or to memory and back.
//
// Each thread computes its own rows of the output. Rows that its neighbour needs too, one or two for each op, are
// computed by both.
#include <algorithm>
#include <array>

#include "../operator.h"
#include "../shares.h"

namespace sluice {
namespace {

constexpr int kLeastRows = 2 * kLargePlane;  // of a plane that is not kept
constexpr size_t kStripFloats = 128 * 1024;  // half a core's L2
constexpr size_t kMostLinks = 16;

struct Link {
  OperatorPtr op;
  const RowWise* rows;
  int in, out;  // values
};

// Rows of its input that an op reads, where they lie inside the plane.
Span rows_read(const Window& w, Span out, int height) {
  const int begin = out.begin * w.stride_y - w.pad_y;
  const int end = (out.end - 1) * w.stride_y - w.pad_y + (w.height - 1) * w.dilation_y + 1;
  return {std::clamp(begin, 0, height), std::clamp(end, 0, height)};
}

class Strips final : public Operator {
 public:
  Strips(const Plan& plan, std::vector<Link> links) : links_(std::move(links)) {
    for (const Link& link : links_) offset_ = std::max(offset_, link.op->scratch_floats());
    offset_ = (offset_ + kLanes - 1) / kLanes * kLanes;
    for (rows_ = 4; rows_ > 1 && place(plan, rows_) > kStripFloats;) --rows_;
    floats_ = place(plan, rows_);
  }

  size_t scratch_floats() const override { return offset_ + floats_; }

  void run(RunState& state) const override {
    links_.front().rows->count(state);
    const View& last = state.views[links_.back().out];
    const int chunks = std::min(last.height, state.pool.threads());
    state.pool.run(chunks,
                   [&](int chunk, int thread) { run_chunk(state, share_of(last.height, chunk, chunks), thread); });
  }

 private:
  // What lies between a link and the next one: some rows of the plane, the first of which moves on.
  struct Between {
    size_t at;  // floats, behind the offset
    int blocks, height, width, border, most_rows;
    size_t row() const { return static_cast<size_t>(width + 2 * border) * kLanes; }
    size_t block() const { return most_rows * row(); }
  };

  // Rows of it that are there.
  struct Strip {
    float* data;
    Span there;

    View view(const Between& b) const {
      return {data + static_cast<size_t>(b.border) * kLanes - there.begin * static_cast<ptrdiff_t>(b.row()), b.height,
              b.width, b.row(), b.block()};
    }

    // Lets go of the rows before `first`.
    void move_on(const Between& b, int first) {
      const int kept = std::max(0, there.end - first);
      for (int block = 0; kept > 0 && first > there.begin && block < b.blocks; ++block) {
        float* to = data + block * b.block();
        const float* from = to + (first - there.begin) * b.row();
        std::copy(from, from + kept * b.row(), to);
      }
      there = {first, std::max(there.end, first)};
    }
  };

  // Lays out what lies between, for strips of `rows` rows of the output; the floats that it takes.
  size_t place(const Plan& plan, int rows) {
    between_.resize(links_.size() - 1);
    size_t at = 0;
    for (size_t i = links_.size() - 1; i-- > 0;) {
      const ValueSpec& value = plan.value(links_[i].out);
      const Window w = links_[i + 1].rows->window();
      rows = std::min(value.height(), (rows - 1) * w.stride_y + (w.height - 1) * w.dilation_y + 1);
      between_[i].at = at;
      between_[i].blocks = blocks_of(value.channels());
      between_[i].height = value.height();
      between_[i].width = value.width();
      between_[i].border = std::max(w.pad_x, w.pad_x + w.extra_x);
      between_[i].most_rows = rows;
      at += between_[i].blocks * between_[i].block();
    }
    return at;
  }

  void run_chunk(RunState& state, Span chunk, int thread) const {
    const size_t count = links_.size();
    std::array<Strip, kMostLinks> strips;  // no vectors: work of a pool must not throw
    std::array<Span, kMostLinks> wanted;
    for (size_t i = 0; i + 1 < count; ++i) {
      strips[i] = {state.scratch(thread) + offset_ + between_[i].at, {0, 0}};
      clear_borders(between_[i], strips[i].data);
    }
    for (int y = chunk.begin; y < chunk.end; y += rows_) {
      wanted[count - 1] = {y, std::min(y + rows_, chunk.end)};
      for (size_t i = count - 1; i-- > 0;) {
        const Span read = rows_read(links_[i + 1].rows->window(), wanted[i + 1], between_[i].height);
        strips[i].move_on(between_[i], read.begin);
        wanted[i] = {strips[i].there.end, std::max(strips[i].there.end, read.end)};
        strips[i].there.end = wanted[i].end;
      }
      for (size_t i = 0; i < count; ++i) {
        if (wanted[i].begin == wanted[i].end) continue;  // all there
        links_[i].rows->run_rows(state, i == 0 ? state.views[links_[0].in] : strips[i - 1].view(between_[i - 1]),
                                 i + 1 == count ? state.views[links_[i].out] : strips[i].view(between_[i]), wanted[i],
                                 thread);
      }
    }
  }

  static void clear_borders(const Between& b, float* data) {
    const size_t floats = static_cast<size_t>(b.border) * kLanes;
    for (int row = 0; row < b.blocks * b.most_rows; ++row, data += b.row()) {
      std::fill_n(data, floats, 0.0f);
      std::fill_n(data + b.row() - floats, floats, 0.0f);
    }
  }

  std::vector<Link> links_;
  std::vector<Between> between_;
  int rows_;
  size_t offset_ = 0, floats_;
};

// Replaces an op that is computed together with ops before it.
class Computed final : public Operator {
 public:
  explicit Computed(const RowWise* op) : op_(op) {}
  void run(RunState& state) const override { op_->count(state); }

 private:
  const RowWise* op_;
};

// True where an op's output is a large plane that the next op alone reads.
bool is_link(const Plan& plan, size_t at) {
  const ProgramSpec& program = plan.program();
  const OpSpec &op = program.ops[at], &next = program.ops[at + 1];
  if (plan.is_output(op.output) || next.inputs != std::vector<int>{op.output}) return false;
  if (op.when != next.when || op.unless != next.unless) return false;
  int readers = 0;
  for (const OpSpec& other : program.ops) readers += std::count(other.inputs.begin(), other.inputs.end(), op.output);
  const ValueSpec &between = plan.value(op.output), &out = plan.value(next.output);
  return readers == 1 && !plan.is_gated(op.output) && between.height() >= kLeastRows && out.is_plane() &&
         2 * out.height() >= kLeastRows;
}

}  // namespace

void link_strips(const Plan& plan, const std::vector<OperatorPtr*>& ops) {
  const auto& specs = plan.program().ops;
  for (size_t first = 0, end; first < ops.size(); first = end) {
    end = first + 1;
    if ((*ops[first])->row_wise() == nullptr) continue;
    // The output must not share memory with the input, because some output rows are written before all input rows are
    // read.
    const int input = plan.slot_of(specs[first].inputs[0]);
    while (end < ops.size() && end - first < kMostLinks && (*ops[end])->row_wise() != nullptr &&
           is_link(plan, end - 1) && plan.slot_of(specs[end].output) != input)
      ++end;
    if (end == first + 1) continue;
    std::vector<Link> links;
    for (size_t i = first; i < end; ++i) {
      const RowWise* rows = (*ops[i])->row_wise();
      links.push_back({std::move(*ops[i]), rows, specs[i].inputs[0], specs[i].output});
      *ops[i] = std::make_unique<Computed>(rows);
    }
    *ops[first] = std::make_unique<Strips>(plan, std::move(links));
  }
}

}  // namespace sluice
