#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

// Pauses before a worker is parked, some 50 to 100 us, so that it need not be woken for each of a series of images.
constexpr int kLinger = 4000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Waits for a condition that should hold within microseconds; yields the core if it does not.
template <class Condition>
void spin_until(Condition condition) {
  for (int spins = 0; !condition(); ++spins) {
    pause();
    if (spins > 2000) {
      std::this_thread::yield();
      spins = 0;
    }
  }
}

}  // namespace

ThreadPool::Crew::Crew(int threads) {
  try {
    for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {  // the system gives no more threads
    stop();
    throw;
  }
}

ThreadPool::Crew::~Crew() { stop(); }

void ThreadPool::Crew::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Crew::wake() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    awake_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
}

void ThreadPool::Crew::let_sleep() {
  const std::lock_guard<std::mutex> lock(mutex_);
  awake_.store(false, std::memory_order_release);
}

ThreadPool::Awake::Awake(ThreadPool& pool) : pool_(pool) {
  if (pool_.threads_ == 1) return;
  pool_.crew_ = &pool_.crews_.get(pool_.threads_);
  pool_.crew_->wake();
}

ThreadPool::Awake::~Awake() {
  if (pool_.threads_ != 1) pool_.crew_->let_sleep();
}

void ThreadPool::Crew::start(Function function, const void* context, int chunks) {
  function_.store(function, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> (2 * kChunkBits)) + 1;
  ticket_.store(job << (2 * kChunkBits) | static_cast<uint64_t>(chunks), std::memory_order_release);
  while (take_chunk(0)) {
  }
  spin_until([&] { return done_.load(std::memory_order_acquire) == chunks; });
}

bool ThreadPool::Crew::take_chunk(int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  for (;;) {
    const int begin = static_cast<int>(ticket >> kChunkBits) & kMostChunks;
    const int end = static_cast<int>(ticket & kMostChunks);
    if (begin == end) return false;
    const Function function = function_.load(std::memory_order_relaxed);
    const void* context = context_.load(std::memory_order_relaxed);
    const uint64_t rest = thread == 0 ? ticket + (uint64_t{1} << kChunkBits) : ticket - 1;
    if (!ticket_.compare_exchange_weak(ticket, rest, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    function(context, thread == 0 ? begin : end - 1, thread);
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }
}

void ThreadPool::Crew::work(int thread) {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || awake_.load(std::memory_order_relaxed); });
      if (stop_) return;
    }
    spin_until([&] { return !take_chunk(thread) && !awake_.load(std::memory_order_acquire); });
    for (int spins = 0; spins < kLinger && !awake_.load(std::memory_order_acquire); ++spins) pause();
  }
}

}  // namespace sluice
