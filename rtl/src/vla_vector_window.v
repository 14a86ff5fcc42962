// Turn the place of a POOL window into a job for vla_vector_walk.
// Does: cut the window to the input, find its first row in the ring, number the record of an average by
// the taps inside. A window without taps becomes an empty job.
// Does not: step from window to window (`vla_vector_windows`).
// Latency: 3 cycles, one window per cycle. Handshake: valid/ready; place_ready_o depends on job_ready_i.
`default_nettype none
module vla_vector_window #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire               clk_i,
  input  wire               rst_i,
  // constant while a packet runs
  input  wire [13:0]        in_w_i,
  input  wire [10:0]        in_h_i,
  input  wire [Aw-1:0]      row_stride_i,
  input  wire [10:0]        ring_i,
  input  wire [10:0]        slot_i,       // slot of row 0
  input  wire [10:0]        kernel_w_i,
  input  wire [10:0]        kernel_h_i,
  input  wire               count_valid_i,
  // place
  input  wire               place_valid_i,
  output wire               place_ready_o,
  input  wire               place_none_i, // no window: makes an empty job
  input  wire signed [19:0] place_x_i,
  input  wire signed [19:0] place_y_i,
  input  wire [Aw-1:0]      place_origin_i,
  // job
  output wire               job_valid_o,
  input  wire               job_ready_i,
  output reg                job_empty_o,
  output reg  [Aw-1:0]      job_origin_o,
  output reg  [Aw-1:0]      job_off_o,
  output reg  [10:0]        job_slot_o,
  output reg  [10:0]        job_w_o,
  output reg  [10:0]        job_h_o,
  output reg  [21:0]        job_record_o
);

  reg  [2:0]    valid_q;
  wire          enable = !valid_q[2] || job_ready_i;
  wire [13:0]   x, y;
  wire [10:0]   w, h;
  reg           empty1_q, empty2_q;
  reg  [Aw-1:0] origin1_q, origin2_q;
  reg  [13:0]   x1_q;
  reg  [10:0]   w1_q, w2_q, h1_q, h2_q, slot1_q, slot2_q;
  reg           over1_q;
  wire [2:0]    y_unused = y[13:11];  // a row inside the input has 11 bits

  assign place_ready_o = enable;
  assign job_valid_o   = valid_q[2];

  vla_vector_span u_x (
    .position_i(place_x_i), .length_i(kernel_w_i), .size_i(in_w_i), .first_o(x), .count_o(w)
  );
  vla_vector_span u_y (
    .position_i(place_y_i), .length_i(kernel_h_i), .size_i({3'd0, in_h_i}), .first_o(y), .count_o(h)
  );
  wire [11:0] slot_sum = {1'b0, slot_i} + {1'b0, y[10:0]};

  function [Aw-1:0] resized;  // to the address width: addresses wrap
    input [30:0] value_unused;
    resized = value_unused[Aw-1:0];
  endfunction

  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 3'b000;
    else if (enable) valid_q <= {valid_q[1:0], place_valid_i};
  end

  always @(posedge clk_i) begin
    if (enable && place_valid_i) begin
      empty1_q  <= place_none_i || w == 11'd0 || h == 11'd0;
      origin1_q <= place_origin_i;
      x1_q      <= x;
      w1_q      <= w;
      h1_q      <= h;
      slot1_q   <= slot_sum[10:0];
      over1_q   <= slot_sum >= {1'b0, ring_i};
    end
    if (enable && valid_q[0]) begin
      empty2_q  <= empty1_q;
      origin2_q <= origin1_q + resized({17'd0, x1_q});
      w2_q      <= w1_q;
      h2_q      <= h1_q;
      slot2_q   <= over1_q ? slot1_q - ring_i : slot1_q;
    end
    if (enable && valid_q[1]) begin
      job_empty_o  <= empty2_q;
      job_origin_o <= origin2_q;
      job_off_o    <= resized({20'd0, slot2_q} * {{(31-Aw){1'b0}}, row_stride_i});
      job_slot_o   <= slot2_q;
      job_w_o      <= w2_q;
      job_h_o      <= h2_q;
      job_record_o <= count_valid_i && !empty2_q ? {11'd0, w2_q} * {11'd0, h2_q} - 22'd1 : 22'd0;
    end
  end

endmodule
`default_nettype wire
