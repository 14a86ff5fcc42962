// Walk over the pixels of a region, two per cycle, in the order pixel, row, channel block; rows may be a
// ring. Used for both operands of VEC, for the windows of POOL and for the output.
// Does: take a job (a rectangle of rows, pixels and blocks), give its addresses in steps of two, mark the
// step that ends the job, and take the next job in the cycle of that step.
// Does not: cut a step short at row or block ends: only a job's last step may hold a single address. An
// empty job is one step without an address.
// Latency: the first step follows its job by one cycle. Handshake: job and step are valid/ready;
// job_ready_o depends on step_ready_i.
`default_nettype none
module vla_vector_walk #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire          clk_i,
  input  wire          rst_i,
  // job
  input  wire          job_valid_i,
  output wire          job_ready_o,
  input  wire          job_empty_i,
  input  wire [Aw-1:0] job_origin_i,  // address of slot 0's first pixel
  input  wire [Aw-1:0] job_off_i,     // from there to the first row
  input  wire [10:0]   job_slot_i,    // slot of the first row
  input  wire [13:0]   job_w_i,
  input  wire [10:0]   job_h_i,
  input  wire [9:0]    job_blocks_i,
  // region, constant while a packet runs
  input  wire          x_step_i,
  input  wire [Aw-1:0] row_stride_i,
  input  wire [Aw-1:0] pitch_i,
  input  wire [10:0]   ring_i,
  // steps
  output wire          step_valid_o,
  input  wire          step_ready_i,
  output wire [1:0]    step_mask_o,   // which of the two addresses exist
  output wire          step_last_o,   // the job's last step
  output wire [Aw-1:0] addr0_o,
  output wire [Aw-1:0] addr1_o,
  output wire [9:0]    left0_o,       // channel blocks left at address 0, its own included
  output wire [9:0]    left1_o
);

  reg          busy_q;
  reg          empty_q;
  reg [13:0]   w_q, x_q;
  reg [10:0]   h_q, y_q, slot0_q, slot_q;
  reg [9:0]    c_q;
  reg [Aw-1:0] off_q, addr_q, row_q, origin_q;

  wire [13:0]   x1, x2;
  wire [10:0]   y1, y2, slot1, slot2;
  wire [9:0]    c1, c2;
  wire [Aw-1:0] addr1, addr2, row1, row2, origin1, origin2;
  wire          end1, end2;

  vla_vector_step #(.Aw(Aw)) u_first (
    .en_i(busy_q), .w_i(w_q), .h_i(h_q), .off_i(off_q), .slot0_i(slot0_q), .x_step_i(x_step_i),
    .row_stride_i(row_stride_i), .pitch_i(pitch_i), .ring_i(ring_i),
    .x_i(x_q), .y_i(y_q), .c_i(c_q), .slot_i(slot_q), .addr_i(addr_q), .row_i(row_q), .origin_i(origin_q),
    .x_o(x1), .y_o(y1), .c_o(c1), .slot_o(slot1), .addr_o(addr1), .row_o(row1), .origin_o(origin1),
    .end_o(end1)
  );
  vla_vector_step #(.Aw(Aw)) u_second (
    .en_i(busy_q), .w_i(w_q), .h_i(h_q), .off_i(off_q), .slot0_i(slot0_q), .x_step_i(x_step_i),
    .row_stride_i(row_stride_i), .pitch_i(pitch_i), .ring_i(ring_i),
    .x_i(x1), .y_i(y1), .c_i(c1), .slot_i(slot1), .addr_i(addr1), .row_i(row1), .origin_i(origin1),
    .x_o(x2), .y_o(y2), .c_o(c2), .slot_o(slot2), .addr_o(addr2), .row_o(row2), .origin_o(origin2),
    .end_o(end2)
  );

  assign step_valid_o = busy_q;
  assign step_mask_o  = {!end1 && !empty_q, !empty_q};
  assign step_last_o  = empty_q || end1 || end2;
  assign addr0_o      = addr_q;
  assign addr1_o      = addr1;
  assign left0_o      = c_q;
  assign left1_o      = c1;

  wire advance = busy_q && step_ready_i;
  assign job_ready_o = !busy_q || (advance && step_last_o);
  wire take = job_valid_i && job_ready_o;

  always @(posedge clk_i) begin
    if (rst_i) busy_q <= 1'b0;
    else if (take) busy_q <= 1'b1;
    else if (advance && step_last_o) busy_q <= 1'b0;
  end

  always @(posedge clk_i) begin
    if (take) begin
      empty_q  <= job_empty_i;
      w_q      <= job_w_i;
      h_q      <= job_h_i;
      off_q    <= job_off_i;
      slot0_q  <= job_slot_i;
      x_q      <= job_w_i;
      y_q      <= job_h_i;
      c_q      <= job_blocks_i;
      slot_q   <= job_slot_i;
      addr_q   <= job_origin_i + job_off_i;
      row_q    <= job_origin_i + job_off_i;
      origin_q <= job_origin_i;
    end else if (advance) begin
      x_q      <= x2;
      y_q      <= y2;
      c_q      <= c2;
      slot_q   <= slot2;
      addr_q   <= addr2;
      row_q    <= row2;
      origin_q <= origin2;
    end
  end

endmodule
`default_nettype wire
