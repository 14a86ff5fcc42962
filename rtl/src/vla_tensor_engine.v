// POOL and VEC packets, two words (pixels of one channel block) per cycle.
// Does: walk the operands, read four words per cycle, compute 2 x Block lanes, write two words per cycle.
//   VEC:  lanes 0, 1 read operand a of two pixels, lanes 2, 3 operand b.
//   POOL: lanes 0, 1 read two taps of one output pixel's window, lanes 2, 3 of the next pixel's.
// Does not: check packets or semaphores; order its reads against its own writes within a packet, beyond
//   that a word is read before it is overwritten by the result computed from it.
// Latency: about 21 cycles from a packet taken while idle to the first write, 15 from one packet's end to
//   the first write of the next (POOL 5 more, a table 40 more). VEC: one cycle per two words. POOL: one
//   cycle per two taps of each of two output pixels.
// Handshakes: see rtl/README.md.
`default_nettype none
module vla_tensor_engine #(
  parameter Block      = 16,      // channels of a word: 8 or 16
  parameter ActWords   = 131072,  // words of the activation scratchpad
  parameter ParamWords = 2048     // words of the parameter memory
) (
  input  wire                            clk_i,
  input  wire                            rst_i,
  // packets
  input  wire                            packet_valid_i,
  output wire                            packet_ready_o,
  input  wire [511:0]                    packet_i,
  input  wire                            hold_i,  // start nothing
  output wire                            done_o,
  output wire                            active_o,
  // activation scratchpad: 4 read lanes, 2 write lanes
  output wire [3:0]                      rd_valid_o,
  output wire [4*$clog2(ActWords)-1:0]   rd_addr_o,
  input  wire [3:0]                      rd_grant_i,
  input  wire [3:0]                      rd_word_i,
  input  wire [4*8*Block-1:0]            rd_data_i,
  output wire [1:0]                      wr_valid_o,
  output wire [2*$clog2(ActWords)-1:0]   wr_addr_o,
  output wire [2*8*Block-1:0]            wr_data_o,
  input  wire [1:0]                      wr_grant_i,
  // parameter memory
  output wire                            param_rd_valid_o,
  output wire [$clog2(ParamWords)-1:0]   param_rd_addr_o,
  input  wire                            param_rd_grant_i,
  input  wire [64*Block-1:0]             param_rd_data_i
);

  localparam Aw       = $clog2(ActWords);
  localparam ParamAw  = $clog2(ParamWords);
  localparam WordBits = 8 * Block;
  localparam TagBits  = 22;

  // --- the running packet -------------------------------------------------------------------------

  wire               start, busy, finish, pool, max;
  wire [Aw-1:0]      a_base, a_off, a_row_stride, a_pitch, b_base, b_off, b_row_stride, b_pitch;
  wire [Aw-1:0]      out_base, out_off, out_row_stride, out_pitch;
  wire [10:0]        a_ring, a_slot, b_ring, b_slot, out_ring, out_slot, out_h, in_h, kernel_h, kernel_w;
  wire               b_read, b_x_step, b_column, b_scalar, count_valid, table_enable;
  wire [13:0]        out_w, in_w;
  wire [9:0]         out_blocks;
  wire signed [15:0] padding;
  wire [3:0]         stride_h, stride_w, func;
  wire [7:0]         b_scalar_value, pad_top, pad_left, a_zero, b_zero, zero, lo, hi, fill;
  wire [23:0]        a_mult, b_mult;
  wire [5:0]         shift;
  wire [1:0]         rounding;
  wire [ParamAw-1:0] record_base, table_base;

  vla_vector_setup #(.Aw(Aw), .ParamAw(ParamAw), .Block(Block)) u_setup (
    .clk_i(clk_i), .rst_i(rst_i), .packet_valid_i(packet_valid_i), .packet_ready_o(packet_ready_o),
    .packet_i(packet_i), .hold_i(hold_i), .done_o(done_o), .active_o(active_o),
    .start_o(start), .busy_o(busy), .finish_i(finish), .pool_o(pool), .max_o(max),
    .a_base_o(a_base), .a_off_o(a_off), .a_row_stride_o(a_row_stride), .a_pitch_o(a_pitch),
    .a_ring_o(a_ring), .a_slot_o(a_slot),
    .b_base_o(b_base), .b_off_o(b_off), .b_row_stride_o(b_row_stride), .b_pitch_o(b_pitch),
    .b_ring_o(b_ring), .b_slot_o(b_slot), .b_read_o(b_read), .b_x_step_o(b_x_step),
    .b_column_o(b_column), .b_scalar_o(b_scalar), .b_scalar_value_o(b_scalar_value),
    .out_base_o(out_base), .out_off_o(out_off), .out_row_stride_o(out_row_stride),
    .out_pitch_o(out_pitch), .out_ring_o(out_ring), .out_slot_o(out_slot), .out_h_o(out_h),
    .out_w_o(out_w), .out_blocks_o(out_blocks), .padding_o(padding),
    .in_h_o(in_h), .in_w_o(in_w), .kernel_h_o(kernel_h), .kernel_w_o(kernel_w),
    .stride_h_o(stride_h), .stride_w_o(stride_w), .pad_top_o(pad_top), .pad_left_o(pad_left),
    .count_valid_o(count_valid), .record_base_o(record_base),
    .function_o(func), .a_zero_o(a_zero), .b_zero_o(b_zero), .a_mult_o(a_mult), .b_mult_o(b_mult),
    .shift_o(shift), .rounding_o(rounding), .zero_o(zero), .lo_o(lo), .hi_o(hi), .fill_o(fill),
    .table_enable_o(table_enable), .table_base_o(table_base)
  );

  // --- reading ------------------------------------------------------------------------------------

  wire [1:0]            window_valid, window_empty, job_ready;
  wire [2*Aw-1:0]       window_origin, window_off;
  wire [21:0]           window_slot, window_w, window_h;
  wire [2*TagBits-1:0]  window_record;
  wire [1:0]            step_valid, step_last, step_ready;
  wire [3:0]            step_mask;
  wire [2*TagBits-1:0]  step_tag;
  wire [4*WordBits-1:0] words;

  vla_vector_windows #(.Aw(Aw)) u_windows (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start && pool),
    .in_base_i(a_base), .in_w_i(in_w), .in_h_i(in_h), .row_stride_i(a_row_stride), .pitch_i(a_pitch),
    .ring_i(a_ring), .slot_i(a_slot), .blocks_i(out_blocks), .out_w_i(out_w), .out_h_i(out_h),
    .kernel_w_i(kernel_w), .kernel_h_i(kernel_h), .stride_w_i(stride_w), .stride_h_i(stride_h),
    .pad_left_i(pad_left), .pad_top_i(pad_top), .count_valid_i(count_valid),
    .job_valid_o(window_valid), .job_ready_i(job_ready), .job_empty_o(window_empty),
    .job_origin_o(window_origin), .job_off_o(window_off), .job_slot_o(window_slot),
    .job_w_o(window_w), .job_h_o(window_h), .job_record_o(window_record)
  );

  // A VEC operand is one job, taken in the packet's first cycle: both walks are idle then.
  wire [1:0]      job_valid      = pool ? window_valid : {start && b_read, start};
  wire [2*Aw-1:0] job_origin     = pool ? window_origin : {b_base, a_base};
  wire [2*Aw-1:0] job_off        = pool ? window_off : {b_off, a_off};
  wire [21:0]     job_slot       = pool ? window_slot : {b_slot, a_slot};
  wire [27:0]     job_w          = pool ? {3'd0, window_w[21:11], 3'd0, window_w[10:0]} : {out_w, out_w};
  wire [21:0]     job_h          = pool ? window_h : {out_h, out_h};
  wire [9:0]      job_blocks     = pool ? 10'd1 : out_blocks;
  wire [1:0]      job_x_step     = {pool || b_x_step, 1'b1};
  wire [2*Aw-1:0] job_row_stride = {pool ? a_row_stride : b_row_stride, a_row_stride};
  wire [2*Aw-1:0] job_pitch      = {b_pitch, a_pitch};
  wire [21:0]     job_ring       = {pool ? a_ring : b_ring, a_ring};

  genvar i;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_operand
      vla_vector_operand #(.Aw(Aw), .WordBits(WordBits), .TagBits(TagBits)) u_operand (
        .clk_i(clk_i), .rst_i(rst_i),
        .job_valid_i(job_valid[i]), .job_ready_o(job_ready[i]), .job_empty_i(pool && window_empty[i]),
        .job_origin_i(job_origin[Aw*i +: Aw]), .job_off_i(job_off[Aw*i +: Aw]),
        .job_slot_i(job_slot[11*i +: 11]), .job_w_i(job_w[14*i +: 14]), .job_h_i(job_h[11*i +: 11]),
        .job_blocks_i(job_blocks), .job_tag_i(window_record[TagBits*i +: TagBits]),
        .x_step_i(job_x_step[i]), .row_stride_i(job_row_stride[Aw*i +: Aw]),
        .pitch_i(job_pitch[Aw*i +: Aw]), .ring_i(job_ring[11*i +: 11]),
        .rd_valid_o(rd_valid_o[2*i +: 2]), .rd_addr_o(rd_addr_o[2*Aw*i +: 2*Aw]),
        .rd_grant_i(rd_grant_i[2*i +: 2]), .rd_word_i(rd_word_i[2*i +: 2]), .rd_data_i(rd_data_i[2*WordBits*i +: 2*WordBits]),
        .step_valid_o(step_valid[i]), .step_ready_i(step_ready[i]), .step_mask_o(step_mask[2*i +: 2]),
        .step_last_o(step_last[i]), .step_tag_o(step_tag[TagBits*i +: TagBits]),
        .step_words_o(words[2*WordBits*i +: 2*WordBits])
      );
    end
  endgenerate

  // --- POOL: windows and records ------------------------------------------------------------------

  wire [1:0]            sum_ready, result_valid;
  wire [2*TagBits-1:0]  result_tag;
  wire [64*Block-1:0]   result;
  wire                  launch;
  wire                  record_hit, record_rd_valid;
  wire [ParamAw-1:0]    record_rd_addr;
  wire [47:0]           record_mult;
  wire [11:0]           record_shift;

  generate
    for (i = 0; i < 2; i = i + 1) begin : g_accumulate
      vla_vector_accumulate #(.Block(Block), .TagBits(TagBits)) u_accumulate (
        .clk_i(clk_i), .rst_i(rst_i), .max_i(max), .fill_i(max ? 8'h80 : a_zero),
        .step_valid_i(pool && step_valid[i]), .step_ready_o(sum_ready[i]),
        .step_mask_i(step_mask[2*i +: 2]), .step_last_i(step_last[i]),
        .step_tag_i(step_tag[TagBits*i +: TagBits]),
        .step_words_i(words[2*WordBits*i +: 2*WordBits]),
        .result_valid_o(result_valid[i]), .result_ready_i(launch),
        .result_tag_o(result_tag[TagBits*i +: TagBits]), .result_o(result[32*Block*i +: 32*Block])
      );
    end
  endgenerate

  wire results = &result_valid;
  vla_vector_records #(.Block(Block), .ParamAw(ParamAw), .ParamBits(64*Block)) u_records (
    .clk_i(clk_i), .rst_i(rst_i), .clear_i(start), .base_i(record_base),
    .need_i(results && !max), .index_i(result_tag), .hit_o(record_hit),
    .mult_o(record_mult), .shift_o(record_shift),
    .param_rd_valid_o(record_rd_valid), .param_rd_addr_o(record_rd_addr),
    .param_rd_grant_i(param_rd_grant_i), .param_rd_data_i(param_rd_data_i)
  );

  // --- launch into the pipeline -------------------------------------------------------------------

  wire       room, table_ready;
  reg  [10:0] stage_q;  // which stages hold a pair
  wire       operands = pool ? results && (max || record_hit) : step_valid[0] && (step_valid[1] || !b_read);
  assign     launch     = busy && operands && room && table_ready;
  assign     step_ready = pool ? sum_ready : {launch && b_read, launch};

  always @(posedge clk_i) begin
    if (rst_i) stage_q <= 11'd0;
    else stage_q <= {stage_q[9:0], launch};
  end

  wire [2*WordBits-1:0] pixel_words, pair_words;
  wire [2*Block-1:0]    pair_live;
  generate
    for (i = 0; i < 2; i = i + 1) begin : g_pixel
      wire [WordBits-1:0] b_word = words[(2+i)*WordBits +: WordBits];
      wire [WordBits-1:0] b      = b_scalar ? {Block{b_scalar_value}}
                                 : b_column ? {Block{b_word[7:0]}} : b_word;
      vla_vector_pixel #(.Block(Block)) u_pixel (
        .clk_i(clk_i), .en_i({stage_q[8:0], launch}), .pool_i(pool), .function_i(func),
        .a_zero_i(a_zero), .b_zero_i(b_zero), .b_mult_i(b_mult), .rounding_i(rounding),
        .zero_i(zero), .lo_i(lo), .hi_i(hi),
        .mult_i(pool && !max ? record_mult[24*i +: 24] : a_mult),
        .shift_i(pool && !max ? record_shift[6*i +: 6] : shift),
        .acc_i(result[32*Block*i +: 32*Block]), .a_i(words[i*WordBits +: WordBits]), .b_i(b),
        .word_o(pixel_words[i*WordBits +: WordBits])
      );
    end
  endgenerate

  wire               table_rd_valid;
  wire [ParamAw-1:0] table_rd_addr;
  vla_vector_table #(.Block(Block), .ParamAw(ParamAw), .ParamBits(64*Block)) u_table (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start), .enable_i(table_enable), .base_i(table_base),
    .ready_o(table_ready), .param_rd_valid_o(table_rd_valid), .param_rd_addr_o(table_rd_addr),
    .param_rd_grant_i(param_rd_grant_i), .param_rd_data_i(param_rd_data_i),
    .en_i(stage_q[9]), .live_i(pair_live), .fill_i(fill), .words_i(pixel_words), .words_o(pair_words)
  );

  // POOL has records and VEC a table, so the two never ask at once.
  assign param_rd_valid_o = record_rd_valid || table_rd_valid;
  assign param_rd_addr_o  = table_rd_valid ? table_rd_addr : record_rd_addr;

  // --- writing ------------------------------------------------------------------------------------

  vla_vector_writer #(.Aw(Aw), .Block(Block)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(start),
    .base_i(out_base), .off_i(out_off), .slot_i(out_slot), .row_stride_i(out_row_stride),
    .pitch_i(out_pitch), .ring_i(out_ring), .w_i(out_w), .h_i(out_h), .blocks_i(out_blocks),
    .padding_i(padding), .launch_i(launch), .room_o(room),
    .pair_next_i(stage_q[9]), .pair_live_o(pair_live), .pair_valid_i(stage_q[10]), .pair_words_i(pair_words),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i),
    .finish_o(finish)
  );

  generate
    if (Block != 8 && Block != 16) begin : g_check_block
      vla_bad_parameter_vector_block_8_or_16 u_bad ();
    end
    if (Aw > 20 || ParamAw > 16) begin : g_check_words
      vla_bad_parameter_vector_words_beyond_packet_fields u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
